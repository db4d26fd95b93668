"""What a camera's faults do to one picture, as physically as is needed to rehearse them.

Each function makes a fault from its severity (0, just a fault, to 1) and a random generator; the fault then takes a
frame BGR uint8 (H, W, 3) and the frames since it began (0 for the first), and returns a new frame of the same size.
Optics come before the sensor: what blurs or covers the picture takes its noise away, so noise is added anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame

Paint = Callable[[Frame, int], Frame]
Make = Callable[[float, np.random.Generator], Paint]

_NOISE = 2.5
"""Standard deviation of the sensor's noise, grey levels."""


def _between(low: float, high: float, severity: float) -> float:
    return low + (high - low) * severity


def _sensed(light: NDArray[np.float32], rng: np.random.Generator) -> Frame:
    """Light float32 (H, W, 3) in grey levels → what the sensor makes of it."""
    noise = rng.standard_normal(light.shape, np.float32)
    return np.clip(light + _NOISE * noise, 0, 255).astype(np.uint8)


def _even(colour: tuple[int, int, int], noise: float) -> Make:
    def make(_severity: float, rng: np.random.Generator) -> Paint:
        def paint(frame: Frame, _since: int) -> Frame:
            light = np.array(colour, np.float32) + noise * rng.standard_normal(frame.shape, np.float32)
            return np.clip(light, 0, 255).astype(np.uint8)

        return paint

    return make


covered_sensor = _even((14, 14, 14), 4.0)
no_light = _even((0, 0, 0), 0.0)
no_signal_grey = _even((128, 128, 128), 0.0)
no_signal_blue = _even((200, 20, 10), 0.0)


def overexposed(severity: float, rng: np.random.Generator) -> Paint:
    """The exposure control fails: at least three quarters of the picture end up white."""
    share = _between(0.2, 0.02, severity)

    def paint(frame: Frame, _since: int) -> Frame:
        luma = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        gain = 262.0 / max(float(np.quantile(luma, share)), 4.0)
        return _sensed(frame.astype(np.float32) * gain + 0.5 * gain, rng)

    return paint


def glare(severity: float, rng: np.random.Generator) -> Paint:
    """A low sun in the lens: a wide white halo about a point near the horizon."""
    u, v = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.5)
    spread = _between(0.55, 0.8, severity)

    def paint(frame: Frame, _since: int) -> Frame:
        height, width = frame.shape[:2]
        x, y = np.arange(width) / width - u, (np.arange(height) - v * height) / width
        halo = 700.0 * np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / (2 * spread**2 * 0.36))
        return _sensed(frame + halo[..., None].astype(np.float32), rng)

    return paint


def defocused(severity: float, rng: np.random.Generator) -> Paint:
    """Out of focus: every point is a disc of 1 to 3 % of the picture's width in radius."""
    share = _between(0.01, 0.03, severity)

    def paint(frame: Frame, _since: int) -> Frame:
        radius = share * frame.shape[1]
        reach = np.arange(-int(radius) - 1, int(radius) + 2)
        disc = np.clip(radius + 0.5 - np.hypot(reach[:, None], reach[None, :]), 0, 1).astype(np.float32)
        return _sensed(cv2.filter2D(frame, cv2.CV_32F, disc / disc.sum()), rng)  # type: ignore[arg-type]

    return paint


def condensation(severity: float, rng: np.random.Generator) -> Paint:
    """Water on the lens: blurred, and veiled by the light of the whole scene."""
    share, veil = _between(0.009, 0.02, severity), _between(0.3, 0.7, severity)

    def paint(frame: Frame, _since: int) -> Frame:
        soft = _soft(frame, share * frame.shape[1])
        return _sensed((1 - veil) * soft + veil * soft.mean((0, 1)), rng)

    return paint


def dirt_film(severity: float, rng: np.random.Generator) -> Paint:
    """A dried film that scatters, here more and there less, and tints: little sharp light comes through."""
    through, share = _between(0.15, 0.03, severity), _between(0.015, 0.03, severity)
    coarse = rng.uniform(0.4, 1.0, (9, 16)).astype(np.float32)
    tint = np.array((0.62, 0.72, 0.8), np.float32)

    def paint(frame: Frame, _since: int) -> Frame:
        height, width = frame.shape[:2]
        clear: Any = through * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
        return _sensed(clear * frame + (1 - clear) * tint * _soft(frame, share * width), rng)

    return paint


def _soft(frame: Frame, sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma_px), np.float32)


def _covered(frame: Frame, mask: NDArray[np.float32], colour: NDArray[np.float32], rng: np.random.Generator) -> Frame:
    """A cover close to the lens is far out of focus: its edge is soft, and it has no texture."""
    edge = _soft(np.asarray(mask), 0.02 * frame.shape[1])[..., None]
    return _sensed(frame * (1 - edge) + colour * edge, rng)


def _grid(frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates 0 to 1 of each pixel: to the right (1, W), and downwards (H, 1)."""
    height, width = frame.shape[:2]
    return (np.arange(width, dtype=np.float32) / width)[None, :], (np.arange(height, dtype=np.float32) / height)[
        :, None
    ]


def hand(severity: float, rng: np.random.Generator) -> Paint:
    """A hand, pushed in from one side within two frames: 30 to 70 % of the picture, dark and warm."""
    share, side = _between(0.3, 0.7, severity), int(rng.integers(4))
    shade, phase = rng.uniform(0.1, 0.3), rng.uniform(0, 6.3)

    def paint(frame: Frame, since: int) -> Frame:
        x, y = _grid(frame)
        along, across = ((x, y), (1 - x, y), (y, x), (1 - y, x))[side]
        reach = share * (0.6 if since == 0 else 1.0)
        mask = (along + 0.06 * np.sin(9 * across + phase) < reach).astype(np.float32)
        light = max(40.0, float(frame.mean()))
        return _covered(frame, mask, light * shade * np.array((0.8, 1.0, 1.5), np.float32), rng)

    return paint


def cover(severity: float, rng: np.random.Generator) -> Paint:
    """Tape, a leaf, a sticker: one blob of 25 to 60 % of the picture, darker or lighter than what it hides."""
    share = _between(0.25, 0.6, severity)
    u, v, shape = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.7, 1.4)
    grey = float(rng.choice([12.0, 25.0, 45.0]))

    def paint(frame: Frame, _since: int) -> Frame:
        x, y = _grid(frame)
        away = np.abs((x - u) * shape) ** 3 + np.abs((y - v) / shape) ** 3
        mask = (away <= np.quantile(away, share)).astype(np.float32)
        return _covered(frame, mask, np.array((grey, grey, grey), np.float32), rng)

    return paint


def mud(severity: float, rng: np.random.Generator) -> Paint:
    """A splash: one big blot and smaller ones about it, brown, 25 to 50 % of the picture."""
    share = _between(0.25, 0.5, severity)
    blots = [(rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.7), 1.0)]
    blots += [(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.25)) for _ in range(8)]
    light = rng.uniform(0.15, 0.4)

    def paint(frame: Frame, _since: int) -> Frame:
        x, y = _grid(frame)
        thick = np.sum([size / (0.02 + (x - u) ** 2 + (y - v) ** 2) for u, v, size in blots], 0)
        mask = (thick >= np.quantile(thick, 1 - share)).astype(np.float32)
        brown = light * max(50.0, float(frame.mean())) * np.array((0.7, 0.9, 1.1), np.float32)
        return _covered(frame, mask, brown, rng)

    return paint


def swapped_channels(_severity: float, _rng: np.random.Generator) -> Paint:
    """RGB taken for BGR."""
    return lambda frame, _since: np.ascontiguousarray(frame[..., ::-1])


def swapped_chroma(_severity: float, _rng: np.random.Generator) -> Paint:
    """NV12 taken for NV21: the two chroma planes change places."""
    return _in_ycrcb(lambda y, cr, cb: (y, cb, cr))


def no_chroma(_severity: float, _rng: np.random.Generator) -> Paint:
    """Luma alone arrives."""
    return _in_ycrcb(lambda y, cr, _cb: (y, np.full_like(cr, 128), np.full_like(cr, 128)))


def one_chroma(_severity: float, rng: np.random.Generator) -> Paint:
    """One of the two chroma planes is lost."""
    if rng.integers(2):
        return _in_ycrcb(lambda y, cr, _cb: (y, cr, np.full_like(cr, 128)))
    return _in_ycrcb(lambda y, _cr, cb: (y, np.full_like(cb, 128), cb))


def luma_for_chroma(_severity: float, _rng: np.random.Generator) -> Paint:
    """YUYV taken for UYVY: luma and chroma change places."""

    def exchange(y: Frame, cr: Frame, cb: Frame) -> tuple[Frame, Frame, Frame]:
        chroma = cb.copy()
        chroma[:, 1::2] = cr[:, 1::2]
        return chroma, y, y

    return _in_ycrcb(exchange)


def lost_channel(_severity: float, rng: np.random.Generator) -> Paint:
    """One of blue, green and red is dark."""
    channel = int(rng.integers(3))

    def paint(frame: Frame, _since: int) -> Frame:
        lost: Frame = frame.copy()
        lost[..., channel] = 0
        return lost

    return paint


def cast(severity: float, rng: np.random.Generator) -> Paint:
    """White balance gone: everything green or magenta."""
    weaker = _between(0.6, 0.35, severity)
    gains = np.array((weaker, 1.0, weaker) if rng.integers(2) else (1.0, weaker, 1.0), np.float32)

    def paint(frame: Frame, _since: int) -> Frame:
        return np.asarray(frame * gains, np.uint8)

    return paint


def _in_ycrcb(change: Callable[[Frame, Frame, Frame], tuple[Frame, Frame, Frame]]) -> Paint:
    def paint(frame: Frame, _since: int) -> Frame:
        planes: Any = cv2.split(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb))
        return np.asarray(cv2.cvtColor(cv2.merge(change(*planes)), cv2.COLOR_YCrCb2BGR), np.uint8)

    return paint
