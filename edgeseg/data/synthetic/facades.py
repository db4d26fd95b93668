"""House fronts: brick, render or stone; windows with frames and sills; shopfronts with fascias at street level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.canvas import Colour
from edgeseg.data.synthetic.textured import Texture
from edgeseg.data.synthetic.textures import cloud_noise
from edgeseg.types import Frame

TEXELS_PER_M = 36
"""About what a front at the edge of the picture shows."""
_TILE = 720

_WALLS: tuple[Colour, ...] = (
    (58, 72, 108),  # red brick
    (92, 126, 152),  # yellow Cambridge brick
    (86, 112, 136),
    (66, 80, 98),  # brown brick
    (188, 194, 200),  # white render
    (146, 172, 186),  # cream render
    (118, 122, 124),  # concrete
    (54, 60, 68),  # dark stone
    (104, 120, 138),  # sandstone
)
"""BGR."""
_FASCIAS: tuple[Colour, ...] = (
    (60, 40, 30),
    (44, 66, 38),
    (40, 40, 120),
    (110, 60, 34),
    (30, 30, 30),
    (60, 120, 140),
    (180, 180, 180),
    (48, 52, 60),
)


@dataclass(frozen=True, slots=True)
class _Painter:
    """A front being painted, in metres from its lower left corner.

    What a house looks like and which lamps burn come from generators of their own: light must not change the house.
    """

    image: Frame
    look: np.random.Generator
    lamps: np.random.Generator
    lit: float

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """A filled rectangle."""
        rows = self.image.shape[0]
        u1, u2, v1, v2 = (round(TEXELS_PER_M * metres) for metres in (left, right, top, bottom))
        self.image[max(0, rows - v1) : max(0, rows - v2), max(0, u1) : max(0, u2)] = [int(c) for c in colour]

    def grey(self, low: float, high: float) -> Colour:
        """A random, nearly grey colour."""
        level = self.look.uniform(low, high)
        blue, green, red = np.minimum(235, level * self.look.uniform(0.85, 1.15, 3))
        return blue, green, red

    def lamp(self, share: float) -> Colour | None:
        """The colour of a lit window, or None if it is dark; above the emissive level, so that it shines at night."""
        on, warmth = self.lamps.random() < share, self.lamps.uniform(0, 1)
        return (245 + 3 * warmth, 248 + 2 * warmth, 251) if on else None


def facade(seed: int, size_m: tuple[float, float], *, shop: bool, lit: float, shade: float) -> Texture:
    """A house front of (width, height) metres; `lit` is the share of windows with a light inside, `shade` darkens."""
    look, lamps = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    width, height = size_m
    base = np.array(_WALLS[int(look.integers(len(_WALLS)))]) * look.uniform(0.65, 1.15)
    rows, columns = (round(TEXELS_PER_M * metres) for metres in (height, width))
    down, across = (int(look.integers(0, _TILE)) for _ in range(2))
    tone = np.take(
        np.take(_masonry(), range(down, down + rows), 0, mode="wrap"), range(across, across + columns), 1, mode="wrap"
    )
    painter = _Painter(np.clip(tone[..., None] * base, 6, 235).astype(np.uint8), look, lamps, lit)
    storey, pitch = look.uniform(2.7, 3.2), look.uniform(1.5, 2.6)
    pane_w, pane_h = pitch * look.uniform(0.42, 0.72), storey * look.uniform(0.45, 0.62)
    frame: Colour = (205, 208, 208) if look.random() < 0.6 else (50, 52, 55)
    count = max(1, int((width - 0.3) / pitch))
    margin, street = (width - count * pitch) / 2, 3.4 if shop else 0.0
    for floor in range(int((height - street - 0.4) / storey)):
        for column in range(count):
            left = margin + column * pitch + (pitch - pane_w) / 2
            _window(painter, (left, street + floor * storey + 0.9), (pane_w, pane_h), frame)
    if shop:
        _shopfront(painter, width, street)
    else:
        door = look.uniform(0.2, max(0.3, width - 1.3))
        painter.box(door - 0.1, 0, door + 1.0, 2.25, frame)
        painter.box(door, 0, door + 0.9, 2.1, painter.grey(20, 110))
    blue, green, red = np.minimum(235, base * look.uniform(0.5, 1.3))
    painter.box(0, height - 0.22, width, height, (blue, green, red))  # cornice
    if look.random() < 0.5:
        painter.box(width - 0.12, 0, width, height, (45, 45, 48))  # drainpipe
    return Texture.of(
        painter.image if shade == 1.0 else np.asarray(cv2.convertScaleAbs(painter.image, alpha=shade), np.uint8)
    )


@lru_cache(maxsize=1)
def _masonry() -> NDArray[np.float32]:
    """Grey bricks in mortar, weathered: float32 around 1, wraps around."""
    rng = np.random.default_rng(5)
    course = 3  # texels, 8 cm
    bricks = np.repeat(np.repeat(rng.normal(1, 0.06, (_TILE // course, _TILE // 8)), course, 0), 8, 1)
    bricks[::course] *= 0.9
    bricks *= 1 + 0.14 * cloud_noise(rng, (_TILE, _TILE), 6, 5)
    return np.asarray(bricks * np.linspace(1.04, 0.96, _TILE)[:, None], np.float32)


def _window(painter: _Painter, corner: tuple[float, float], size: tuple[float, float], frame: Colour) -> None:
    (x, y), (width, height) = corner, size
    glass, blind = painter.grey(22, 72), painter.look.random()
    if painter.look.random() < 0.25:  # the sky in it
        glass = painter.grey(110, 190)
    curtain = painter.grey(90, 190)
    burning = painter.lamp(painter.lit)
    painter.box(x - 0.07, y - 0.07, x + width + 0.07, y + height + 0.07, frame)
    painter.box(x, y, x + width, y + height, burning or glass)
    if blind < 0.35 and burning is None:
        painter.box(x, y + height * (1 - 2 * blind), x + width, y + height, curtain)
    painter.box(x + width / 2 - 0.03, y, x + width / 2 + 0.03, y + height, frame)
    painter.box(x, y + height / 2 - 0.03, x + width, y + height / 2 + 0.03, frame)
    painter.box(x - 0.1, y - 0.14, x + width + 0.1, y - 0.05, (140, 146, 150))  # sill
    painter.box(x, y + height - 0.12, x + width, y + height, (18, 18, 20))  # the lintel's shadow


def _shopfront(painter: _Painter, width: float, top: float) -> None:
    look = painter.look
    fascia = _FASCIAS[int(look.integers(len(_FASCIAS)))]
    fade = look.uniform(0.6, 1.0)
    painter.box(0, 0, width, top, (fascia[0] * fade, fascia[1] * fade, fascia[2] * fade))
    unit, at = look.uniform(1.6, 2.8), 0.15
    while at < width - 0.5:
        right = min(at + unit - 0.15, width - 0.15)
        burning, glass = painter.lamp(1.5 * painter.lit), painter.grey(20, 60)
        painter.box(at, 0.45, right, top - 0.65, burning or glass)
        for shelf in (0.5, 1.2, 1.8):  # what is on show, and the street's reflection
            x = at + look.uniform(0, 0.4) * unit
            ware, reach, tall = painter.grey(30, 150), look.uniform(0.2, 0.9), look.uniform(0.2, 0.6)
            painter.box(x, shelf, min(x + reach, right), shelf + tall, ware)
        painter.box(at, 0.45, right, 0.55, painter.grey(90, 160))
        at += unit
    painter.box(0, top - 0.55, width, top, fascia)
    letters, at = painter.grey(130, 225), 0.2 * width
    while at < 0.8 * width:
        if look.random() < 0.85:
            painter.box(at, top - 0.42, at + 0.14, top - 0.14, letters)
        at += 0.22
