"""What the stages hand on, and what they ask of the parts that are plugged into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from edgeseg.errors import InputError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels, Segmentation
from edgeseg.video.health.base import Health
from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord

Wishes: TypeAlias = "tuple[str, tuple[str, ...] | None]"
"""What who watches wants of the picture: the overlay's mode, and the classes drawn."""


class FrameSegmenter(Protocol):
    """What the loop needs of a `Segmenter`."""

    label_map: LabelMap

    def __call__(self, frame_bgr: Frame) -> Segmentation:
        """BGR uint8 (H, W, 3) → labels uint8 (H, W)."""
        ...


class FrameSmoother(Protocol):
    """Changes what the model said, by what it said of earlier frames, or by its confidence."""

    def __call__(self, segmentation: Segmentation, frame_bgr: Frame, /) -> Segmentation:
        """Labels uint8 (H, W) of this frame, BGR uint8 (H, W, 3) → better ones."""
        ...


class FrameAnalyser(Protocol):
    """Finds what a driver needs in the labels."""

    def __call__(self, record: FrameRecord, segmentation: Segmentation, /) -> Scene:
        """One frame and its labels → the scene."""
        ...


class FrameMonitor(Protocol):
    """Watches the camera."""

    def __call__(self, record: FrameRecord, /) -> Health:
        """One frame → the camera's health."""
        ...


class FramePainter(Protocol):
    """What the loop needs of an `Overlay`."""

    mode: str

    def set_classes(self, names: Sequence[str] | None, /) -> None:
        """Draw these classes only; all for `None`."""
        ...

    def paint(
        self,
        frame_bgr: Frame,
        labels: Labels,
        status: str = "",
        *,
        valid: bool = True,
        scene: Scene | None = None,
        health: Health = ...,
        pulse: Pulse | None = None,
        inset_bgr: Frame | None = None,
    ) -> Frame:
        """A new picture, BGR uint8 (H, W, 3), with a small one in it."""
        ...

    def waiting(self, picture_bgr: Frame | None, text: str) -> Frame:
        """A new picture that says `text` and cannot be taken for a live one."""
        ...


@dataclass(slots=True)
class Work:
    """One captured frame on its way through the stages."""

    record: FrameRecord | None
    """`None` where not even a frame came of it: see `error`."""
    paused_s: float = 0.0
    """How long the run had been paused when the frame was taken."""
    error: InputError | None = None
    """Why the frame failed."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Stage → how long it took."""
    segmentation: Segmentation | None = None
    result: FrameResult | None = None
    painted_as: Wishes | None = None
    """What the controls said when the result's picture was painted; `None` where none was."""
