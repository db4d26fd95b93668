"""A synthetic drive as a labelled dataset, described by a query string."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl

from edgeseg.data.base import Sample
from edgeseg.data.format import DatasetFormat
from edgeseg.data.synthetic.drive import SyntheticDrive
from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID, LabelMap

_KEYS = ("seed", "scene", "frames", "size", "step", "fps")
_SPLIT_OFFSETS = {"train": 0, "val": 1_000_003, "test": 2_000_003}
"""Added to the seed, so that splits are different towns."""


@dataclass(frozen=True)
class SyntheticDataset:
    """Every `step`-th frame of one drive, `frames` of them."""

    drive: SyntheticDrive
    frames: int
    step: int
    split: str

    @property
    def name(self) -> str:
        """`synthetic train`."""
        return f"synthetic {self.split}"

    @cached_property
    def label_map(self) -> LabelMap:
        """CamVid's eleven classes."""
        return CAMVID

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.frames:
            raise IndexError(f"index {index} of {self.frames} synthetic frames")
        frame_bgr, labels = self.drive.frame(index * self.step)
        name = f"seed{self.drive.seed}_{self.drive.scene}_{index * self.step:06d}"
        return Sample(name, frame_bgr, labels)


def open_synthetic(root: Path | str, split: str) -> SyntheticDataset:
    """Open the drive that `root` describes, as `seed=7&scene=rain&frames=100&size=360x480&step=15` (all optional).

    `size` is height x width; `step` is the number of camera frames from one sample to the next. Splits share no town.
    Raises `ConfigError` for an unknown key, value or split.
    """
    if split not in _SPLIT_OFFSETS:
        raise ConfigError(f"split {split!r} is unknown; a synthetic drive has: {', '.join(_SPLIT_OFFSETS)}.")
    options = dict(parse_qsl(str(root), keep_blank_values=True))
    unknown = [key for key in options if key not in _KEYS]
    if unknown:
        raise ConfigError(
            f"synthetic drive: unknown {', '.join(unknown)}; known keys: {', '.join(_KEYS)} (seed=7&scene=rain)."
        )
    height, _, width = options.get("size", "360x640").partition("x")
    frames, step = _whole("frames", options.get("frames", "100")), _whole("step", options.get("step", "15"))
    drive = SyntheticDrive(
        seed=_whole("seed", options.get("seed", "7"), least=0) + _SPLIT_OFFSETS[split],
        scene=options.get("scene", "day"),
        size_hw=(_whole("size", height), _whole("size", width)),
        fps=float(_whole("fps", options.get("fps", "30"))),
    )
    return SyntheticDataset(drive, frames, step, split)


def _whole(key: str, text: str, least: int = 1) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        example = "size=360x480" if key == "size" else f"{key}={max(least, 15)}"
        raise ConfigError(
            f"synthetic drive: {key} has the value {text!r}; expected a whole number ≥ {least}, as {example}."
        )
    return int(text)


FORMAT = DatasetFormat(
    open_synthetic, lambda _: list(_SPLIT_OFFSETS), lambda _: False, "never: described, as seed=7&scene=rain"
)
"""A drive is described, not found in a folder: `recognises` is never content."""
