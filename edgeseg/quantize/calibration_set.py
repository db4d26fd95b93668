"""The frames that activation ranges are observed on: chosen by seed, found again and held to their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import ConfigError, DataError
from edgeseg.files import write_json
from edgeseg.graph.frames import SCENES, NamedFrame
from edgeseg.labels import LabelMap
from edgeseg.quantize.frame_source import FrameSource, SourceFrame, SourceFrames, find_source
from edgeseg.quantize.look import Look, look_at, pixel_sha256
from edgeseg.quantize.stratify import Candidate, choose, name_scenes
from edgeseg.types import Frame, Labels

SCHEMA = "edgeseg-calibration/1"
FILE_NAME = "calibration.json"

DEFAULT_COUNT = 128
DEFAULT_SEED = 0

MOST_CANDIDATES = 2000
"""So many frames of a source are looked at, evenly spread; each costs some 15 ms."""

_DRAWN_HW = ((64, 64), (1080, 1920))
"""Smallest and largest picture that is drawn; what the graph takes beyond is resized."""

_PRESENT = 1e-4
"""Least share of a frame's pixels with which a class counts as shown: 17 pixels of 360×480."""

Progress = Callable[[int], None]
"""Told how many frames are done."""


@dataclass(frozen=True, slots=True)
class CalibrationFrame:
    """One chosen frame: where it is found again, and what it must be."""

    source: FrameSource
    name: str
    index: int
    """Position in the source."""
    sha256: str
    """`pixel_sha256` of the frame."""
    scene: str
    classes: tuple[str, ...] | None
    """Classes that it shows; None where nobody labelled it."""


@dataclass(frozen=True)
class CalibrationSet:
    """Frames in a fixed order. Iterating reads them from their sources, one at a time: uint8 (H, W, 3) BGR."""

    frames: tuple[CalibrationFrame, ...]
    seed: int
    classes: tuple[str, ...] | None
    """All classes of the source, shown or not; None without labels."""

    def __post_init__(self) -> None:
        if not self.frames:
            raise DataError("a calibration set without a frame: ranges are observed on at least one.")

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over the pixels of all frames in their order, wherever they lie."""
        return hashlib.sha256("\n".join([SCHEMA, *(frame.sha256 for frame in self.frames)]).encode()).hexdigest()

    @property
    def sources(self) -> tuple[FrameSource, ...]:
        """Where the frames come from, each once."""
        return tuple(dict.fromkeys(frame.source for frame in self.frames))

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return (frame.frame_bgr for frame in self.named())

    def named(self) -> Iterator[NamedFrame]:
        """The frames with their names. Raises `DataError` for one that is gone, or is not what was chosen."""
        for source, group in groupby(self.frames, key=lambda frame: frame.source):
            chosen = list(group)
            read = source.open().read([frame.index for frame in chosen])
            for expected, found in zip(chosen, read, strict=True):
                if pixel_sha256(found.frame_bgr) != expected.sha256:
                    raise DataError(
                        f"frame {expected.name} of {source.place} has other pixels than when it was chosen. "
                        "Restore the data, or choose anew with: edgeseg calibrate"
                    )
                yield NamedFrame(expected.name, found.frame_bgr)

    def summary(self) -> dict[str, Any]:
        """Plain data for a manifest: what was calibrated on, and nothing about the machine it lies on."""
        sources = [source.title for source in self.sources]
        return {"digest": self.digest, "frames": len(self), "seed": self.seed, "sources": sources}

    def save(self, path: Path | str) -> None:
        """Write `calibration.json`, atomically."""
        places = {source: number for number, source in enumerate(self.sources)}
        frames = [
            {
                "source": places[frame.source],
                "index": frame.index,
                "name": frame.name,
                "scene": frame.scene,
                "classes": None if frame.classes is None else list(frame.classes),
                "sha256": frame.sha256,
            }
            for frame in self.frames
        ]
        head = {"schema": SCHEMA, "digest": self.digest, "seed": self.seed}
        classes = None if self.classes is None else list(self.classes)
        sources = [source.to_dict() for source in places]
        write_json(path, {**head, "classes": classes, "sources": sources, "frames": frames})

    @staticmethod
    def load(path: Path | str) -> CalibrationSet:
        """Read what `save` wrote, without reading the frames; raises `DataError` for anything else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). Make it with: edgeseg calibrate") from error
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}). Make it again with: edgeseg calibrate") from error
        found = content.get("schema") if isinstance(content, dict) else None
        if found != SCHEMA:
            raise DataError(f"{path}: schema {found!r}, expected {SCHEMA!r}. Make it again with: edgeseg calibrate")
        try:
            calibration = _from_content(content)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ConfigError) as error:
            raise DataError(f"{path}: not a whole calibration set ({error!r}). Make it again.") from error
        if calibration.digest != content["digest"]:
            raise DataError(f"{path}: its frames do not have its digest; it was altered. Make it again.")
        return calibration


def choose_frames(
    source: FrameSource | Sequence[FrameSource],
    count: int = DEFAULT_COUNT,
    seed: int = DEFAULT_SEED,
    *,
    progress: Progress | None = None,
) -> CalibrationSet:
    """Choose `count` frames, or all where there are fewer, as `edgeseg.quantize.stratify.choose` does.

    The same seed on the same data gives the same set. Raises `ConfigError` for a count below 1 or sources of different
    classes, `DataError` where there is no frame or one cannot be read.
    """
    sources = [source] if isinstance(source, FrameSource) else list(source)
    if count < 1 or seed < 0:
        raise ConfigError(f"count={count}, seed={seed}: expected at least 1 frame, and a seed from 0 up.")
    classes: tuple[str, ...] | None = None
    candidates: list[Candidate] = []
    origins: list[FrameSource] = []
    for number, place in enumerate(sources):
        frames = place.open()
        names = None if frames.label_map is None else frames.label_map.names
        if number and names != classes:
            raise ConfigError(f"{place.title} has other classes than {sources[0].title}; give both one with --mapping.")
        classes = names
        found = _look_through(frames, MOST_CANDIDATES, progress, done=len(candidates))
        scenes = name_scenes([name for _, name, _, _ in found], [look for _, _, look, _ in found])
        prefix = "" if len(sources) == 1 else f"{number} "
        for (index, name, look, shown), scene in zip(found, scenes, strict=True):
            candidates.append(Candidate(index, name, look, f"{prefix}{scene}", shown))
            origins.append(place)
    if not candidates:
        raise DataError(f"{sources[0].place if sources else 'no source'}: no frame to calibrate on.")
    chosen = choose(candidates, count, np.random.default_rng(seed))
    return CalibrationSet(tuple(_frame(origins[at], candidates[at], classes) for at in chosen), seed, classes)


def open_calibration(
    path: Path | str,
    *,
    count: int = DEFAULT_COUNT,
    seed: int = DEFAULT_SEED,
    format: str | None = None,
    split: str | None = None,
    mapping: str | None = None,
    progress: Progress | None = None,
) -> CalibrationSet:
    """A set chosen before (calibration.json, or its folder), or one chosen now from a dataset, images or a video.

    Raises `DataError`, `SourceError` or `ConfigError` in one line for what cannot be used.
    """
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    if file.is_file() and _is_calibration(file):
        return CalibrationSet.load(file)
    return choose_frames(find_source(path, format=format, split=split, mapping=mapping), count, seed, progress=progress)


def synthetic_sources(
    size_hw: tuple[int, int], frames: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED
) -> list[FrameSource]:
    """The synthetic drive in all weathers, `frames` in all: what there is to calibrate on where there is no data.

    Towns of the drive's train split. It stands in for real frames, and is not as good: in the default model its ranges
    span 0.98 of CamVid train's in the median (40 and 96 frames, squared error), but 0.79 to 1.50 from the 5th to the
    95th percentile of tensors. On CamVid val mIoU drops by as much, 0.10 points, the worst class by 0.63, not 0.47.
    """
    height, width = np.clip(size_hw, *_DRAWN_HW).tolist()
    each = -(-frames // len(SCENES))
    return [
        FrameSource(f"seed={seed}&scene={scene}&frames={each}&size={height}x{width}&step=45", "synthetic", "train")
        for scene in SCENES
    ]


_Looked = tuple[int, str, Look, frozenset[str] | None]


def _look_through(frames: SourceFrames, most: int, progress: Progress | None, done: int) -> list[_Looked]:
    """Index, name, look and classes of at most `most` frames, evenly spread; a video is thinned while it is read."""
    indices = None
    if frames.count is not None and frames.count > most:
        indices = np.linspace(0, frames.count - 1, most).astype(int).tolist()
    found: list[_Looked] = []
    step = 1
    for number, frame in enumerate(frames.read(indices)):
        if number % step:
            continue
        found.append((frame.index, frame.name, look_at(frame.frame_bgr), _shown(frame, frames.label_map)))
        if len(found) > most:
            found, step = found[::2], step * 2
        if progress is not None:
            progress(done + len(found))
    return found


def _shown(frame: SourceFrame, label_map: LabelMap | None) -> frozenset[str] | None:
    labels: Labels | None = frame.labels
    if labels is None or label_map is None:
        return None
    pixels = np.bincount(labels.ravel(), minlength=256)[: len(label_map)]
    return frozenset(label_map.names[index] for index in np.flatnonzero(pixels >= max(1.0, _PRESENT * labels.size)))


def _frame(source: FrameSource, candidate: Candidate, classes: tuple[str, ...] | None) -> CalibrationFrame:
    shown = None if classes is None else tuple(name for name in classes if name in (candidate.classes or ()))
    return CalibrationFrame(source, candidate.name, candidate.index, candidate.look.sha256, candidate.scene, shown)


def _is_calibration(path: Path) -> bool:
    """By its head: annotation files are JSON too, and gigabytes of it."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as stream:
            return path.name == FILE_NAME or SCHEMA.partition("/")[0].encode() in stream.read(200)
    except OSError:
        return False


def _from_content(content: dict[str, Any]) -> CalibrationSet:
    sources = [FrameSource(**source) for source in content["sources"]]
    frames = tuple(
        CalibrationFrame(
            sources[frame["source"]],
            str(frame["name"]),
            int(frame["index"]),
            str(frame["sha256"]),
            str(frame["scene"]),
            None if frame["classes"] is None else tuple(frame["classes"]),
        )
        for frame in content["frames"]
    )
    return CalibrationSet(
        frames, int(content["seed"]), None if content["classes"] is None else tuple(content["classes"])
    )
