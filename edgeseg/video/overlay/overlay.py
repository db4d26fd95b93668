"""The whole picture: classes over the frame, and over them all that a person must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels
from edgeseg.video.colours import NOT_DRAWN, display_palette
from edgeseg.video.health.base import HEALTHY, Health
from edgeseg.video.overlay.banners import banners_for, draw_banners
from edgeseg.video.overlay.curve import draw_curve
from edgeseg.video.overlay.dead import dead_picture
from edgeseg.video.overlay.driving import draw_people, draw_road, draw_warning
from edgeseg.video.overlay.inset import draw_inset
from edgeseg.video.overlay.legend import Entry, Legend
from edgeseg.video.overlay.tint import UNKNOWN_RGB, Palette, Tint
from edgeseg.video.results import Pulse
from edgeseg.video.scene.base import Scene
from edgeseg.video.scene.shares import class_shares

MODES = ("blend", "outline", "labels", "off")
"""Classes tinted, classes outlined, classes without the camera picture, and the camera picture alone."""

_UNKNOWN = Entry("unknown", UNKNOWN_RGB)


class Overlay:
    """Paints labels over frames, one picture at a time: it keeps memory between them.

    `classes` restricts what is drawn, and listed, to the classes named; `alpha` is the weight of the colours. `banner`
    is a line along the lower edge of every picture. `mode` is one of `MODES`; it and `set_classes` may be used from
    another thread, and hold from the next picture on.
    """

    def __init__(
        self,
        label_map: LabelMap,
        *,
        alpha: float = 0.45,
        classes: Sequence[str] | None = None,
        mode: str = "blend",
        banner: str | None = None,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha={alpha} must lie between 0 (only the camera) and 1 (only the colours).")
        if mode not in MODES:
            raise ConfigError(f"overlay mode {mode!r} is unknown; choose one of: {', '.join(MODES)}.")
        self.mode = mode
        self._label_map = label_map
        self._banner = banner
        self._alpha = alpha
        self._tint = Tint(alpha)
        self.set_classes(classes)

    def set_classes(self, names: Sequence[str] | None) -> None:
        """Draw these classes only; all if `None`. Raises `ConfigError` for a name that the model lacks."""
        named = names if names is not None else [name for name in self._label_map.names if name not in NOT_DRAWN]
        drawn = sorted(set(self._label_map.ids(named)))
        colours = display_palette(self._label_map)
        self._chosen = _Chosen(
            Palette.of({index: colours[index] for index in drawn}, self._alpha),
            Legend([Entry(self._label_map.names[index], colours[index]) for index in drawn]),
        )

    def next_mode(self) -> None:
        """Switch to the mode after this one, in the order of `MODES`."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]

    def paint(
        self,
        frame_bgr: Frame,
        labels: Labels,
        status: str = "",
        *,
        valid: bool = True,
        scene: Scene | None = None,
        health: Health = HEALTHY,
        pulse: Pulse | None = None,
        inset_bgr: Frame | None = None,
    ) -> Frame:
        """Frame BGR uint8 (H, W, 3) and its labels uint8 (H, W) → a new picture BGR uint8 (H, W, 3).

        Nothing of it is used again: it may be kept, and read by other threads. The `scene` adds the boundary of the
        free road, people and the warning of who is ahead, and its shares go into the legend; `pulse` the curve of frame
        ages; `health`, a frame that is not `valid`, and a loop that is degraded each a banner. `inset_bgr` uint8
        (h, w, 3) is a small picture for the lower right corner. In the mode "off" nothing is drawn of the scene but the
        warning.
        """
        if frame_bgr.shape[:2] != labels.shape:
            raise ConfigError(f"a frame of {frame_bgr.shape[:2]} and labels of {labels.shape} do not belong together.")
        mode, chosen = self.mode, self._chosen  # once: another thread may change them
        if mode == "off":
            picture: Frame = frame_bgr.copy()
            panel_right = chosen.legend.draw(picture, status)
        else:
            picture, unknown = self._tint.paint(frame_bgr, labels, chosen.palette, mode)
            if scene is not None:
                if scene.free_space is not None:
                    draw_road(picture, scene.free_space)
                draw_people(picture, scene.people)
            shares = None  # a frame without numbers has no classes to list
            if valid:
                shares = class_shares(labels, self._label_map) if scene is None else scene.shares
            row = (_UNKNOWN, unknown) if unknown else None
            panel_right = chosen.legend.draw(picture, status, shares, row)
        curve_left = picture.shape[1] if pulse is None else draw_curve(picture, pulse)
        if scene is not None and scene.person_ahead:
            draw_warning(picture, scene, panel_right, curve_left)
        degraded = None if pulse is None or pulse.degraded is None else f"DEGRADED: {pulse.degraded}"
        rows = draw_banners(picture, banners_for(valid=valid, health=health, degraded=[self._banner, degraded]))
        if inset_bgr is not None:
            draw_inset(picture, inset_bgr, rows)
        return picture

    def waiting(self, picture_bgr: Frame | None, text: str, *, size_hw: tuple[int, int] = (360, 640)) -> Frame:
        """The last picture, BGR uint8 (H, W, 3), visibly dead: a new one in dark grey, with `text` large across it.

        What follows a colon in the text stands in smaller letters below. Without a picture, a plain card of `size_hw`.
        """
        return dead_picture(picture_bgr, text, size_hw)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What depends on the classes that are drawn, in one object, so that it changes at once."""

    palette: Palette
    legend: Legend
