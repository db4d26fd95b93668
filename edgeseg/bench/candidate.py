"""What is compared: one bundle's graph in one runtime, open, with the frames that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.bench.rounds import Timed
from edgeseg.bundle import Bundle
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.errors import InputError, UnavailableError
from edgeseg.runtime.segmenter import Clock, Segmenter
from edgeseg.types import Frame

_DRIVE_SEED = 7
_BETWEEN = 45
"""Frames of the drive between two that are used: a second and a half, so that each is another picture."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A candidate as it was asked for."""

    bundle: Bundle
    precision: str
    backend: str
    title: str
    """The bundle's name, or its path where another bundle has that name too."""

    def __str__(self) -> str:
        return f"{self.title} {self.precision} {self.backend}"


def all_wanted(bundles: Sequence[Bundle], precisions: Sequence[str], backends: Sequence[str]) -> list[Wanted]:
    """Every bundle in every precision and runtime, in the order in which they were named."""
    paths = {name: {bundle.path for bundle in bundles if bundle.name == name} for name in {one.name for one in bundles}}
    return [
        Wanted(bundle, precision, backend, bundle.name if len(paths[bundle.name]) == 1 else str(bundle.path))
        for bundle in bundles
        for precision in precisions
        for backend in backends
    ]


class Candidate:
    """An open segmenter that takes its frames in turn. A context manager, through `close`."""

    def __init__(self, wanted: Wanted, segmenter: Segmenter, frames: Sequence[Frame], clock: Clock) -> None:
        self.bundle = wanted.bundle
        self.segmenter = segmenter
        self.label = f"{wanted.title} {segmenter.precision} {segmenter.backend}"
        """What tells it apart: bundle, precision, runtime; with a number where it was named twice."""
        self.frames = frames
        self._clock = clock
        self._next = 0

    @property
    def frame_hw(self) -> tuple[int, int]:
        """Of the frames that it is given."""
        height, width = self.frames[0].shape[:2]
        return height, width

    def step(self) -> Timed:
        """Segment the next frame."""
        frame = self.frames[self._next % len(self.frames)]
        self._next += 1
        began_s = self._clock()
        segmentation = self.segmenter(frame)
        return Timed(segmentation.latency_ms, 1e3 * (self._clock() - began_s))

    def to_dict(self) -> dict[str, Any]:
        """What it is, as plain data."""
        _, height, width, _ = self.segmenter.input_spec.shape
        return {
            "label": self.label,
            "bundle": str(self.bundle.path),
            "name": self.bundle.name,
            "precision": self.segmenter.precision,
            **self.segmenter.runtime_dict(),
            "graph_bytes": self.bundle.graph_path(self.segmenter.precision).stat().st_size,
            "network_hw": list(self.bundle.contract.network_hw),
            "graph_hw": [height, width],
            "frame_hw": list(self.frame_hw),
            "host_resize": self.segmenter.host_resize,
            "gives_confidence": self.segmenter.gives_confidence,
        }

    def close(self) -> None:
        """Close the segmenter."""
        self.segmenter.close()


Open = Callable[[Wanted], Segmenter]
"""Opens a candidate's graph: `Segmenter`, or a test's fake."""


def open_candidates(
    wanted: Iterable[Wanted],
    opener: Open,
    frames_of: Callable[[Bundle], Sequence[Frame]],
    clock: Clock,
) -> tuple[list[Candidate], dict[str, str]]:
    """Those that can be opened, and for each other one the reason. Raises the first where not one can be opened.

    The same graph named twice is two candidates: how far apart they come out tells how sure such a figure is here.
    """
    opened: list[Candidate] = []
    refused: dict[str, str] = {}
    first_error: Exception | None = None
    try:
        for one in wanted:
            try:
                segmenter = opener(one)
            except (UnavailableError, InputError) as error:
                refused[str(one)] = str(error)
                first_error = first_error or error
                continue
            candidate = Candidate(one, segmenter, frames_of(one.bundle), clock)
            times = sum(other.label.split(" #")[0] == candidate.label for other in opened)
            candidate.label += f" #{times + 1}" if times else ""
            opened.append(candidate)
    except BaseException:
        for candidate in opened:
            candidate.close()
        raise
    if not opened and first_error is not None:
        raise first_error
    return opened, refused


def draw_frames(size_hw: tuple[int, int], count: int) -> list[Frame]:
    """BGR uint8 (H, W, 3) frames of the synthetic drive, all different."""
    drive = SyntheticDrive(_DRIVE_SEED, "day", size_hw)
    return [np.ascontiguousarray(drive.frame(number * _BETWEEN)[0]) for number in range(count)]
