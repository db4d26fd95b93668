"""COCO's JSON read once from front to back, remembering where each annotation lies instead of the annotation.

As Python objects annotations take five times their JSON (279 MB for 100,000 of COCO's, 56 MB), again in every worker
process that touches them; COCO's train2017 has 860,001. Here one takes a hundred bytes, and is read again when needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.format import head_matches
from edgeseg.errors import DataError

Visitor = Callable[[dict[str, Any]], None]

_SPACE = re.compile(r"[ \t\r\n]*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_KEY = re.compile(rb'\s*\{\s*"(info|licenses|images|annotations|categories|type)"\s*:')


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An entry of `images`: file name relative to the image folder, size in pixels."""

    file_name: str
    height: int
    width: int

    @property
    def name(self) -> str:
        """The file name without suffix; folders stay part of it, since frames of many videos are all called 0001."""
        return "_".join(part for part in PurePosixPath(self.file_name).with_suffix("").parts if part not in ("/", ".."))


@dataclass(frozen=True, eq=False)
class CocoJson:
    """What a COCO file holds, but for the annotations themselves."""

    path: Path
    images: dict[int | str, CocoImage]
    """By id, in the file's order."""
    categories: dict[int, str]
    """Names by id, in the file's order."""
    spans: NDArray[np.int64]
    """(N, 2): first byte of each annotation, and the byte after its last, in the file's order."""

    def annotations(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """The annotations at these rows of `spans`, read from the file again."""
        try:
            with self.path.open("rb") as stream:
                found = []
                for start, end in self.spans[rows].tolist():
                    stream.seek(start)
                    found.append(json.loads(stream.read(end - start)))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: changed since it was opened ({error}). Open the dataset again.") from error
        return found


def read_coco_json(path: Path, visit: Visitor) -> CocoJson:
    """Read a COCO file, calling `visit` with every annotation in turn.

    Raises `DataError` for what is no JSON, or lacks images, categories or annotations, or has an id or a name twice.
    `visit` may raise `KeyError`, `TypeError` or `ValueError` for an annotation that lacks something.
    """
    images: dict[int | str, CocoImage] = {}
    categories: dict[int, str] = {}
    spans: list[tuple[int, int]] = []
    sections: set[str] = set()
    try:
        for key, number, value, span in _elements(path):
            sections.add(key)
            if value is None:
                continue
            try:
                if key == "images":
                    _add(images, value["id"], _image(value))
                elif key == "categories":
                    _add(categories, int(value["id"]), str(value["name"]))
                elif key == "annotations":
                    visit(value)
                    spans.append(span)
            except (KeyError, TypeError, ValueError) as error:
                said = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
                raise DataError(f"{path}: entry {number} of {key} cannot be used: {said}. Correct the file.") from error
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Copy or export the file again.") from error
    if missing := [key for key in ("images", "annotations", "categories") if key not in sections]:
        raise DataError(f"{path}: has no {' and no '.join(missing)}; expected a COCO file with annotations of images.")
    return CocoJson(path, images, categories, np.array(spans, np.int64).reshape(-1, 2))


def _add(table: dict[Any, Any], key: Any, value: Any) -> None:
    if table.setdefault(key, value) is not value:
        raise ValueError(f"id {key!r} is there twice")


def _image(value: dict[str, Any]) -> CocoImage:
    """Tools on Windows write backslashes."""
    height, width = value["height"], value["width"]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise ValueError(f"width {width!r} and height {height!r}, where pixels are expected")
    file_name = str(value["file_name"]).replace("\\", "/")
    if not PurePosixPath(file_name).name or "\0" in file_name:
        raise ValueError(f"file_name {file_name!r}, which names no file")
    return CocoImage(file_name, height, width)


def image_key(annotation: dict[str, Any]) -> int | str:
    """The `image_id` of an annotation, for a `visit`."""
    key = annotation["image_id"]
    if not isinstance(key, (int, str)):
        raise ValueError(f"image_id {key!r} is neither a number nor a text")
    return key


def _elements(path: Path) -> Iterator[tuple[str, int, Any, tuple[int, int]]]:
    """(key, position from 1, value, byte span) of all elements of the lists in the file's outermost object.

    A list also gives its key with position 0 and None, so that an empty one is known to be there.
    """
    data = path.read_bytes()
    first = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    # One character per byte, so that positions are those of the file; names are decoded again from their bytes.
    text = data.decode("latin-1")
    del data
    decode = json.JSONDecoder().raw_decode

    def value_at(start: int) -> tuple[Any, int]:
        value, end = decode(text, start)
        if not text.isascii():
            value = json.loads(text[start:end].encode("latin-1").decode())
        return value, end

    at = _expect(text, first, "{")
    while text[at : at + 1] != "}":
        key, at = value_at(at)
        at = _expect(text, at, ":")
        if text[at : at + 1] != "[":
            _, at = decode(text, at)
        else:
            yield key, 0, None, (at, at)
            at, number = _expect(text, at, "["), 0
            while text[at : at + 1] != "]":
                value, end = value_at(at)
                number += 1
                yield key, number, value, (at, end)
                at = _next(text, end, "]")
            at += 1
        at = _next(text, at, "}")


def _expect(text: str, at: int, sign: str) -> int:
    """Position of what follows `sign`, white space passed over."""
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise json.JSONDecodeError(f"Expecting {sign!r}", text, at)
    return _skip(text, at + 1)


def _next(text: str, at: int, closing: str) -> int:
    """Position of the next element after its comma, or of the closing bracket."""
    at = _skip(text, at)
    return at if text[at : at + 1] == closing else _expect(text, at, ",")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def is_coco_json(path: Path) -> bool:
    """Whether a file's name and first bytes are those of a COCO file."""
    return path.suffix.lower() == ".json" and path.is_file() and head_matches(path, _FIRST_KEY)


def find_json(root: Path, prefix: str, split: str) -> Path:
    """The JSON of `split` below `root`, or `root` itself where that is a file; raises `DataError`."""
    if root.is_file():
        return root
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Check the dataset's path and layout.")
    for path in (root / "annotations" / f"{prefix}{split}.json", root / f"{prefix}{split}.json"):
        if path.is_file():
            return path
    known = ", ".join(json_splits(root, prefix)) or "none"
    raise DataError(f"{root}: no annotations/{prefix}{split}.json; splits here: {known}. Choose one of them.")


def json_splits(root: Path, prefix: str) -> list[str]:
    """Splits of a folder by its JSON files; `all` for a JSON file."""
    if root.is_file():
        return ["all"]
    found = {*(root / "annotations").glob(f"{prefix}*.json"), *root.glob(f"{prefix}*.json")}
    return sorted({path.stem.removeprefix(prefix) for path in found})


def split_of(path: Path, prefix: str) -> str:
    """`val2017` for `instances_val2017.json`."""
    return path.stem.removeprefix(prefix)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for a name that is too long to be one)


def require_files(name: str, files: Iterable[Path], role: str) -> None:
    """Raises `DataError` naming the first that is missing, and how many are."""
    missing = [file for file in files if not _is_file(file)]
    if missing:
        more = f" So are {len(missing) - 1} more." if len(missing) > 1 else ""
        raise DataError(
            f"{missing[0]}: this {role} of {name} is missing.{more} Restore it, or take it out of the JSON."
        )


def image_folder(path: Path, split: str, file_name: str) -> Path:
    """The folder that the file names of this JSON start from: the first usual place that has `file_name`."""
    below = path.parent.parent if path.parent.name == "annotations" else path.parent
    places = [
        *(below / place for place in (split, f"images/{split}", "images", "input_images", "JPEGImages", ".")),
        path.parent,
    ]
    for place in places:
        if _is_file(place / file_name):
            return place
    raise DataError(
        f"{path}: its first image {file_name} is in none of the usual places ({places[0]}, {places[1]}, …). "
        "Put the images there."
    )
