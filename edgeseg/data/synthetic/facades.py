"""House fronts: brick, render or stone; windows with frames and sills; shopfronts with fascias at street level."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.canvas import Texture
from edgeseg.data.synthetic.textures import smooth_noise

TEXELS_PER_M = 20

_WALLS = (
    (62, 78, 112),  # red brick
    (96, 132, 158),  # yellow Cambridge brick
    (74, 88, 104),  # brown brick
    (182, 190, 196),  # white render
    (140, 168, 182),  # cream render
    (118, 122, 124),  # concrete
    (58, 64, 72),  # dark stone
    (104, 120, 138),  # sandstone
)
"""BGR."""
_FASCIAS = ((60, 40, 30), (50, 90, 40), (40, 40, 150), (150, 70, 30), (30, 30, 30), (60, 160, 190), (190, 190, 190))


def facade(seed: int, size_m: tuple[float, float], *, shop: bool, lit: float) -> Texture:
    """A house front of (width, height) metres; `lit` is the share of windows with a light inside."""
    look = np.random.default_rng([seed, 1])
    lamps = np.random.default_rng([seed, 2])
    width, height = (max(16, round(TEXELS_PER_M * metres)) for metres in size_m)
    base = np.array(_WALLS[int(look.integers(len(_WALLS)))], np.float64) * look.uniform(0.7, 1.15)
    image = _masonry(look, (height, width), base)
    storey = round(TEXELS_PER_M * look.uniform(2.8, 3.3))
    street = round(TEXELS_PER_M * 3.5) if shop else 0
    pitch = round(TEXELS_PER_M * look.uniform(1.7, 3.2))
    pane_w, pane_h = round(pitch * look.uniform(0.4, 0.75)), round(storey * look.uniform(0.45, 0.6))
    frame_colour = [220.0] * 3 if look.random() < 0.6 else [50.0, 52.0, 55.0]
    columns = max(1, (width - 6) // pitch)
    margin = (width - columns * pitch) // 2
    for bottom in range(height - street, storey - 1, -storey):
        for column in range(columns):
            left = margin + column * pitch + (pitch - pane_w) // 2
            _window(image, look, lamps, (left, bottom - storey // 4 - pane_h, pane_w, pane_h), frame_colour, lit)
    if shop:
        _shopfront(image, look, lamps, street, lit)
    else:
        door = int(look.integers(4, max(5, width - 24)))
        paint = look.uniform(20, 140, 3)
        cv2.rectangle(image, (door, height - 44), (door + 18, height), [float(c) for c in paint], -1)
        cv2.rectangle(image, (door, height - 44), (door + 18, height), frame_colour, 1)
    cv2.rectangle(image, (0, 0), (width, 4), [float(c) for c in base * look.uniform(0.5, 1.3)], -1)
    if look.random() < 0.5:  # drainpipe
        cv2.line(image, (width - 3, 0), (width - 3, height), (45, 45, 48), 2)
    return Texture.of(np.clip(image, 0, 255).astype(np.uint8))


def _masonry(rng: np.random.Generator, size_hw: tuple[int, int], base: NDArray[np.float64]) -> NDArray[np.float32]:
    grain = 1 + 0.1 * smooth_noise(rng, size_hw, 6) + rng.normal(0, 0.07, size_hw)
    grain[::3] *= 0.93
    return np.asarray(np.clip(base * grain[..., None], 8, 235), np.float32)


def _window(
    image: NDArray[np.float32],
    look: np.random.Generator,
    lamps: np.random.Generator,
    box: tuple[int, int, int, int],
    frame_colour: list[float],
    lit: float,
) -> None:
    x, y, width, height = box
    glass = look.uniform(22, 75) * np.array([1.15, 1.05, 1.0])
    if look.random() < 0.2:  # the sky in it
        glass = look.uniform(120, 200) * np.array([1.05, 1.0, 0.95])
    curtain = look.random()
    on, warm = lamps.random() < lit, lamps.uniform(0.6, 1)
    cv2.rectangle(image, (x - 1, y - 1), (x + width, y + height), frame_colour, -1)
    cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), [float(c) for c in glass], -1)
    if on:
        cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), (190 * warm, 246.0, 255.0), -1)
    elif curtain < 0.3:
        blind = y + round(height * curtain * 2.5)
        cv2.rectangle(image, (x, y), (x + width - 1, blind), [float(c) for c in look.uniform(90, 200, 3)], -1)
    cv2.line(image, (x + width // 2, y), (x + width // 2, y + height), frame_colour, 1)
    cv2.line(image, (x, y + height // 2), (x + width, y + height // 2), frame_colour, 1)
    cv2.line(image, (x - 2, y + height + 1), (x + width + 1, y + height + 1), (150, 155, 160), 2)  # sill


def _shopfront(
    image: NDArray[np.float32], look: np.random.Generator, lamps: np.random.Generator, street: int, lit: float
) -> None:
    height, width = image.shape[:2]
    top = height - street
    fascia = np.array(_FASCIAS[int(look.integers(len(_FASCIAS)))], np.float64)
    paint = [float(c) for c in fascia * look.uniform(0.6, 1.0)]
    glass = [float(c) for c in look.uniform(18, 60) * np.array([1.1, 1.0, 1.0])]
    cv2.rectangle(image, (0, top), (width, height), paint, -1)
    unit = round(TEXELS_PER_M * look.uniform(1.6, 3.0))
    for left in range(4, width - 10, unit):
        pane = (left, top + 16), (min(width - 4, left + unit - 5), height - 8)
        on = lamps.random() < min(1.0, 1.5 * lit)
        cv2.rectangle(image, *pane, (205.0, 250.0, 255.0) if on else glass, -1)
        for _ in range(4):  # wares and reflections
            x, y = int(look.integers(left, left + unit)), int(look.integers(top + 20, height - 12))
            ware = [float(c) for c in look.uniform(20, 200, 3)]
            cv2.rectangle(image, (x, y), (min(x + 6, pane[1][0]), y + 8), ware, -1)
    cv2.rectangle(image, (0, top), (width, top + 12), [float(c) for c in fascia], -1)
    letters = look.uniform(120, 235)
    for x in range(round(width * 0.2), round(width * 0.8), 6):
        if look.random() < 0.85:
            cv2.rectangle(image, (x, top + 3), (x + 3, top + 9), [letters] * 3, -1)
