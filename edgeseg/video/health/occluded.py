"""Occluded: something covers a good part of the lens. A large region has turned flat at once, and stays as it is."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import CELLS_HW, Look, area

ON = 0.15
"""Share of the picture in one piece: a cover of a quarter, without its soft edge."""
FLAT = 1.6
"""Mean step between neighbours, in grey levels above that of the flattest cells: there is nothing to see."""
LOST = 0.35
"""Of a cell's texture, what may be left under a cover."""
KEPT = 0.5
"""Of its texture, what the rest of the picture must keep."""
WHITE = 240
"""Level above which nothing covers the lens: that is glare."""
CHANGED = 4.0, 0.2
"""A cell's level has changed if it differs by so many grey levels and this share of what it was."""
SUDDEN = 0.14
"""Share of the picture that is covered within two frames. A parked car that we pass grows by 0.02 a frame, an oncoming
bus by 0.05."""
SAME_SCENE = 0.45
"""Correlation of the texture, over the cells that are not covered, with what it was. Measured on the first frame: 0.56
and more under covers, 0.35 and less at cuts to another scene."""
STAYS = 0.75
"""Of two frames' covered cells together, those that are covered in both: what passes by moves on."""
REMAINING = 0.75
"""Share of the covered cells that must still look covered. Through a night sky taken for a cover, lamps come by."""
SAME_COVER = 14.0
"""Grey levels by which a cover may grow lighter or darker in a few frames, as the exposure control follows."""
LEARN = 0.15
"""Weight of the newest frame in what the picture was like before: about seven frames."""
PATIENCE = 8
"""Frames for which a picture that has changed is compared with the one before; then it is the new one."""

Grid: TypeAlias = NDArray[np.float32]
Cells: TypeAlias = NDArray[np.bool_]
"""Both of shape `CELLS_HW`."""


class Occluded:
    """Compares each cell of the picture with itself a few frames ago.

    What was there from the first frame, as a bonnet or a bracket, is part of the view.
    """

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=3, off_after=max(3, round(fps / 3)))
        self._usual: tuple[Grid, Grid] | None = None
        """Level and texture of each cell, a few frames ago."""
        self._pieces: deque[Cells] = deque(maxlen=2)
        """What seemed covered in the last frames."""
        self._began = False
        """Whether the present piece came at once."""
        self._cover: tuple[Cells, Grid] | None = None
        """Which cells are covered, and their levels."""
        self._waited = 0

    def __call__(self, look: Look) -> bool:
        """Whether a good part of the lens is covered."""
        level, texture = look.levels, _texture(look)
        if self._cover is not None:
            return self._covered(level, texture, self._cover)
        if self._usual is None:
            self._usual = level, texture
            return False
        piece = _largest_piece(_turned_flat(level, texture, *self._usual))
        if self._latch(self._is_cover(piece, texture, self._usual[1])):
            self._cover = piece, level
        self._learn(level, texture, float(piece.mean()))
        return self._latch.on

    def _is_cover(self, piece: Cells, texture: Grid, texture_was: Grid) -> bool:
        """Whether a piece came at once, in a scene that is otherwise the same, and stayed since."""
        last = self._pieces[-1] if self._pieces else np.zeros_like(piece)
        share = float(piece.mean())
        if not self._began:
            self._began = share - min((float(was.mean()) for was in self._pieces), default=share) >= SUDDEN
            self._began = self._began and _alike(texture, texture_was, ~piece) > SAME_SCENE
        elif (piece & last).sum() < STAYS * last.sum():
            self._began = False
        self._pieces.append(piece)
        return self._began and share >= ON

    def _learn(self, level: Grid, texture: Grid, share: float) -> None:
        self._waited = self._waited + 1 if share > ON / 2 else 0
        if self._waited > PATIENCE:
            self._usual, self._waited, self._began = (level, texture), 0, False
        elif self._waited == 0 and self._usual is not None:
            level_was, texture_was = self._usual
            self._usual = level_was + LEARN * (level - level_was), texture_was + LEARN * (texture - texture_was)

    def _covered(self, level: Grid, texture: Grid, cover: tuple[Cells, Grid]) -> bool:
        piece, levels = cover
        same = (texture < FLAT) & (np.abs(level - levels) < SAME_COVER)
        there = float(same[piece].mean()) >= REMAINING
        if there:
            self._cover = piece, np.where(same, levels + LEARN * (level - levels), levels).astype(np.float32)
        if not self._latch(there):
            self._cover, self._usual, self._began = None, None, False
            self._pieces.clear()
        return self._latch.on


def _texture(look: Look) -> Grid:
    """Mean step between neighbouring pixels in each cell, above that of the flattest cells, which is the noise."""
    right, down = look.steps
    both = cv2.copyMakeBorder(cv2.add(right[:-1], down[:, :-1]), 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    texture = area(np.asarray(both, np.uint8), CELLS_HW)
    return np.asarray(np.maximum(texture - np.partition(texture.ravel(), 7)[7], 0), np.float32)


def _turned_flat(level: Grid, texture: Grid, level_was: Grid, texture_was: Grid) -> Cells:
    """Cells without texture that had some, or whose level is another; none where the whole picture is blurred."""
    seen = (texture >= FLAT) & (level_was > 1)
    # What became of the cells that can be seen became of the others as well, if it was the exposure.
    exposure = float(np.median(level[seen] / level_was[seen])) if seen.any() else 1.0
    least, share = CHANGED
    changed = np.abs(level - exposure * level_was) > least + share * exposure * level_was
    lost = (texture_was > FLAT) & (texture < LOST * texture_was)
    flat = np.asarray((texture < FLAT) & (level < WHITE) & (changed | lost), np.bool_)
    rest = ~flat & (texture_was > FLAT)
    blurred = rest.any() and float(np.median(texture[rest] / texture_was[rest])) < KEPT
    return np.zeros_like(flat) if blurred else flat


def _alike(texture: Grid, texture_was: Grid, where: Cells) -> float:
    """Correlation of two textures over some cells; 1 where there is nothing to compare."""
    if not where.any():
        return 1.0
    a, b = texture[where] - texture[where].mean(), texture_was[where] - texture_was[where].mean()
    strength = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / strength if strength > 0 else 1.0


def _largest_piece(cells: Cells) -> Cells:
    """The largest connected piece; cells touch by their sides. None where all together are too few."""
    if float(cells.mean()) < ON / 2:
        return np.zeros_like(cells)
    count, numbers = cv2.connectedComponents(cells.astype(np.uint8), connectivity=4)
    if count < 3:
        return cells
    sizes = np.bincount(numbers.ravel())[1:]
    return np.asarray(numbers == 1 + int(sizes.argmax()), np.bool_)
