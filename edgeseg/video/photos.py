"""Photos one by one: what is in each, as two pictures and in per cent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.data.images import read_upright_image
from edgeseg.errors import ConfigError, DataError
from edgeseg.files import write_bytes
from edgeseg.labels import LabelMap
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame, Labels
from edgeseg.video.overlay import Overlay

OVERLAY, LABELS, CONFIDENCE = ".overlay.png", ".labels.png", ".confidence.png"
"""What takes the place of a photo's suffix: the photo with its classes tinted; class ids as grey values; how sure the
model is of each, white for certain."""

MAX_SQUEEZE = 1.3
"""How far a photo's aspect ratio may be from the network's before it is worth a word: 3:2 in a network of 4:3 is not,
16:9 is, and upright in landscape more than any."""


@dataclass(frozen=True, slots=True)
class Photo:
    """What became of one photo."""

    path: Path
    overlay: Path
    labels: Path
    size_hw: tuple[int, int]
    shares: dict[str, float]
    """Class → share of the pixels, 0 to 1, the largest first; those that are there."""
    latency_ms: float
    confidence: Path | None = None
    """Where it was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class PhotoReport:
    """All photos that were asked for."""

    photos: tuple[Photo, ...]
    failed: dict[str, str]
    """Photo that could not be read → why."""

    def raise_if_failed(self) -> None:
        """Raise `DataError` with the first photo that could not be read."""
        if self.failed:
            more = f" ({len(self.failed)} photos could not be read.)" if len(self.failed) > 1 else ""
            raise DataError(next(iter(self.failed.values())) + more)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {"photos": [photo.to_dict() for photo in self.photos], "failed": dict(self.failed)}


def segment_photos(
    paths: Sequence[Path],
    segmenter: Segmenter,
    *,
    folder: Path | None = None,
    alpha: float = 0.45,
    confidence: bool = False,
    on_photo: Callable[[Photo], None] = lambda _: None,
) -> PhotoReport:
    """Segment each photo, upright, and write its two pictures, with `confidence` three, beside it or into `folder`.

    A photo that cannot be read is noted, and the next follows. Before anything is done, raises `ConfigError` where two
    photos would be written to one place or the model gives no confidence; then `GateError` for a model that gives no
    numbers, and `OutputError` where the file system refuses.
    """
    stems = _stems(paths, folder)
    if confidence:
        segmenter.require_confidence()
    overlay = Overlay(segmenter.label_map, alpha=alpha)
    photos, failed = [], {}
    for path, stem in zip(paths, stems, strict=True):
        try:
            frame_bgr = read_upright_image(path)
        except DataError as error:
            failed[str(path)] = str(error)
            continue
        found = segmenter(frame_bgr)
        labels = found.checked(str(path))
        photo = Photo(
            path,
            stem.with_name(stem.name + OVERLAY),
            stem.with_name(stem.name + LABELS),
            labels.shape,
            class_shares(labels, segmenter.label_map),
            found.latency_ms,
            stem.with_name(stem.name + CONFIDENCE) if confidence else None,
        )
        _write(photo.overlay, overlay.paint(frame_bgr, labels))
        _write(photo.labels, labels)
        if photo.confidence is not None and found.confidence is not None:
            _write(photo.confidence, found.confidence)
        photos.append(photo)
        on_photo(photo)
    return PhotoReport(tuple(photos), failed)


def class_shares(labels: Labels, label_map: LabelMap) -> dict[str, float]:
    """Class → share of the pixels of `labels`, uint8 (H, W), the largest first; classes that are not there left out."""
    counts = np.bincount(labels.ravel(), minlength=len(label_map))[: len(label_map)]
    return {
        label_map.names[index]: float(counts[index] / labels.size) for index in np.argsort(-counts) if counts[index]
    }


def squeeze_note(photo: Photo, network_hw: tuple[int, int], *, sealed: bool) -> str | None:
    """A line for a photo whose aspect ratio is far from the network's, with a size that fits it better.

    A `sealed` size, a bundle's, only another export changes.
    """
    height, width = photo.size_hw
    squeeze = (width / height) / (network_hw[1] / network_hw[0])
    if max(squeeze, 1 / squeeze) <= MAX_SQUEEZE:
        return None
    short, step = min(network_hw), 8
    fitting = [max(short, round(short * side / min(photo.size_hw) / step) * step) for side in photo.size_hw]
    size = f"--size {fitting[0]}x{fitting[1]}"
    return (
        f"note: {photo.path.name} is {height}x{width}, which the network sees squeezed to "
        f"{network_hw[0]}x{network_hw[1]}; {f'a bundle exported with {size}' if sealed else size} keeps its shape."
    )


def _stems(paths: Sequence[Path], folder: Path | None) -> list[Path]:
    """Where each photo's pictures go, without their suffix."""
    stems = [(path.parent if folder is None else folder) / path.stem for path in paths]
    taken: dict[Path, Path] = {}
    for path, stem in zip(paths, stems, strict=True):
        if stem in taken:
            raise ConfigError(
                f"{taken[stem]} and {path} would both be written to {stem}{OVERLAY}. Rename one, or run them apart."
            )
        taken[stem] = path
    return stems


def _write(path: Path, picture: Frame | Labels) -> None:
    _, encoded = cv2.imencode(".png", picture)
    write_bytes(path, encoded.tobytes())
