"""Noise, trees, hedges and railings, painted once per drive."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.canvas import Colour
from edgeseg.data.synthetic.textured import Texture
from edgeseg.types import Frame, Labels


def smooth_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Noise float32 (H, W) in −1…1 that wraps around, with about `cells` bumps across."""
    rows = max(1, round(cells * size_hw[0] / size_hw[1]))
    coarse = rng.uniform(-1, 1, (rows, cells)).astype(np.float32)
    padded = np.pad(coarse, 2, mode="wrap")
    height, width = size_hw
    across, down = cells / width, rows / height
    matrix = np.array([[across, 0, 0.5 * across + 1.5], [0, down, 0.5 * down + 1.5]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(padded, matrix, (width, height), flags=flags), np.float32)


def cloud_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: int, octaves: int) -> NDArray[np.float32]:
    """Octaves of `smooth_noise`, each of twice the frequency and 0.6 of the strength, about −1…1."""
    total = np.zeros(size_hw, np.float32)
    for octave in range(octaves):
        total += 0.6**octave * smooth_noise(rng, size_hw, cells << octave)
    return np.asarray(total / 1.4, np.float32)


def tree(rng: np.random.Generator, kind: str) -> tuple[Texture, tuple[float, Colour]]:
    """Crown and stem of a `Tree`, the crown at most 320×256 texels; kinds: bare, leafy, conifer."""
    height, width = 320, 256
    colour = np.zeros((height, width, 3), np.float32)
    cover = np.zeros((height, width), np.uint8)
    bark = rng.uniform(0.7, 1.2) * np.array([42.0, 48.0, 56.0])
    colour[:] = bark * (1 + 0.25 * smooth_noise(rng, (height, width), 32))[..., None]
    if kind != "conifer":
        _branch(rng, cover, (width / 2, height - 1.0), -math.pi / 2, height * rng.uniform(0.17, 0.22), 10.0, depth=7)
    else:
        cv2.line(cover, (width // 2, height - 1), (width // 2, height // 3), 255, 9)
    crown = _crown(rng, (height, width), kind)
    rough = 0.6 * smooth_noise(rng, (height, width), 24) + 0.6 * smooth_noise(rng, (height, width), 64)
    # Nothing reaches out of the crown but the trunk.
    inner = np.arange(height)[:, None] < 0.62 * height
    cover = np.where(inner, np.clip(4 * crown, 0, 1) * cover, cover).astype(np.uint8)
    if kind == "bare":
        # Twigs too fine to resolve veil the sky; denser towards the branches.
        near = cv2.GaussianBlur(cover, (0, 0), 9).astype(np.float32) / 255
        twigs = np.clip(1.5 * near + 0.25 + 0.3 * rough, 0, 0.85) * crown
        cover = np.maximum(cover, (255 * twigs).astype(np.uint8))
    else:
        leaf = np.array([38.0, 74.0, 62.0]) if kind == "leafy" else np.array([36.0, 52.0, 40.0])
        leaf = leaf * rng.uniform(0.8, 1.25, 3)
        lit = np.linspace(1.35, 0.65, height)[:, None] * (1 + 0.5 * rough)
        solid = np.clip((crown - 0.35 + 0.45 * rough) * 6, 0, 1) * np.clip(6 * crown - 0.3, 0, 1)
        colour = np.where((solid > 0.3)[..., None], leaf * lit[..., None], colour)
        cover = np.maximum(cover, (255 * solid).astype(np.uint8))
    blue, green, red = (float(channel) for channel in bark)
    foot = 0.0 if kind == "conifer" else 0.25
    above = round((1 - foot) * height)
    return premultiplied(colour[:above], cover[:above]), (foot, (blue, green, red))


def _branch(
    rng: np.random.Generator,
    cover: Labels,
    foot: tuple[float, float],
    angle: float,
    length: float,
    width: float,
    depth: int,
) -> None:
    tip = (foot[0] + length * math.cos(angle), foot[1] + length * math.sin(angle))
    ends = [(round(x * 16), round(y * 16)) for x, y in (foot, tip)]
    cv2.line(cover, ends[0], ends[1], 255, max(1, round(width)), cv2.LINE_AA, 4)
    if depth == 0:
        return
    for turn in (-1, 1) if depth < 6 else (-1, 0.2, 1):
        spread = turn * rng.uniform(0.25, 0.65)
        _branch(rng, cover, tip, angle + spread, length * rng.uniform(0.68, 0.86), width * 0.66, depth - 1)


def _crown(rng: np.random.Generator, size_hw: tuple[int, int], kind: str) -> NDArray[np.float32]:
    """Where the crown is: float32 (H, W) in 0…1, soft at the edge."""
    height, width = size_hw
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == "conifer":
        half = np.clip((y / height) * 0.42 * width, 1, None)
        inside = 1.25 - np.abs(x - width / 2) / half - np.clip(y / height - 0.93, 0, 1) * 30
    else:
        radius = np.hypot((x - width / 2) / (0.48 * width), (y - 0.4 * height) / (0.4 * height))
        inside = (1.15 - radius) * 1.6
    inside = inside + 0.35 * smooth_noise(rng, size_hw, 7)
    return np.asarray(np.clip(inside, 0, 1), np.float32)


def hedge(rng: np.random.Generator) -> Texture:
    """A hedge 16 m long, leafy, ragged at the top: 64×512 texels."""
    size = (64, 512)
    rough = 0.5 * smooth_noise(rng, size, 72) + 0.6 * smooth_noise(rng, size, 200)
    lit = np.linspace(1.25, 0.6, size[0])[:, None] * (1 + 0.6 * rough)
    colour = np.array([34.0, 58.0, 48.0]) * rng.uniform(0.75, 1.3, 3) * lit[..., None]
    ragged = np.arange(size[0])[:, None] / 14 + 2 * smooth_noise(rng, (1, size[1]), 40) - 0.4 + rough
    return premultiplied(colour, np.clip(255 * ragged, 0, 255).astype(np.uint8))


def railing(rng: np.random.Generator) -> Texture:
    """A pedestrian guard rail 16 m long: two rails, bars every 13 cm, posts every 2 m; 96×1536 texels."""
    cover = np.zeros((96, 384), np.uint8)
    cover[:, ::12] = cover[:, 1::12] = cover[:, 2::12] = 235
    cover[4:10] = cover[82:88] = 255
    cover[:, 0:6] = cover[:, 192:198] = 255
    cover[90:][:, [i for i in range(384) if i % 192 > 6]] = 0
    shade = rng.uniform(60, 140) * np.array([1.0, 1.0, 0.97])
    colour = np.broadcast_to(shade, (96, 384, 3)) * (1 + 0.15 * smooth_noise(rng, (96, 384), 60))[..., None]
    return premultiplied(np.tile(colour, (1, 4, 1)), np.tile(cover, (1, 4)))


def planks(rng: np.random.Generator) -> Texture:
    """A wooden fence 16 m long: boards of 12 cm; 96×1536 texels."""
    board = np.repeat(rng.uniform(0.75, 1.2, 128), 12)
    board[::12] *= 0.5
    grain = 1 + 0.15 * smooth_noise(rng, (96, 1536), 360)
    shade = np.array([58.0, 74.0, 92.0]) * rng.uniform(0.6, 1.1)
    return Texture.of(_bytes(shade * (board * grain)[..., None]))


def garden_wall(rng: np.random.Generator) -> Texture:
    """A brick wall 16 m long with a coping; 32×512 texels."""
    brick = np.array([62.0, 80.0, 108.0]) * rng.uniform(0.7, 1.3)
    tone = 1 + 0.12 * smooth_noise(rng, (32, 512), 24) + rng.normal(0, 0.09, (32, 512))
    tone[::4] *= 0.85
    tone[:4] *= 1.35
    return Texture.of(_bytes(brick * tone[..., None]))


def premultiplied(colour: NDArray[np.floating], cover: Labels) -> Texture:
    """Texture from colours float (h, w, 3) and coverage uint8 (h, w), 255 where solid."""
    return Texture.of(_bytes(colour * (cover[..., None] / 255.0)), np.asarray(255 - cover, np.uint8))


def _bytes(colour: NDArray[np.floating]) -> Frame:
    return np.asarray(np.clip(colour, 0, 240), np.uint8)
