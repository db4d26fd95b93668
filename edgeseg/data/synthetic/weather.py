"""From the drawn world to the camera's picture: haze, darkness, lamps, rain, lens and sensor.

Everything here reads the drawn frame and the depth; nothing writes labels, so that the same drive has the same ground
truth in every scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgeseg.data.synthetic.camera import Camera
from edgeseg.data.synthetic.canvas import EMISSIVE, PAVEMENT, ROAD, Canvas, Colour
from edgeseg.data.synthetic.ground import sky_panorama
from edgeseg.types import Frame, Labels


@dataclass(frozen=True, slots=True)
class Look:
    """One kind of weather and light."""

    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: tuple[float, float]
    """Share of the sky under cloud: from, to."""
    visibility_m: float
    """Meteorological optical range: contrast falls to 5 % there (WMO-No. 8), so extinction is 3 / visibility."""
    haze: float
    """Grey level that distance fades to, before the gain."""
    gain: Colour
    """Factors on blue, green and red, at most 1.25."""
    headlights: float = 0.0
    """Brightness that our headlights add nearby, in multiples of full daylight."""
    glow: float = 0.0
    """Brightness of halos around lamps; where there is any, what shines keeps its brightness."""
    lit_windows: float = 0.0
    street_lamps: bool = False
    sunny: bool = False
    """Whether houses throw shadows."""
    rain: bool = False
    noise: float = 3.0
    """Standard deviation of the sensor's noise, grey levels."""


LOOKS = {
    "day": Look(
        (240, 216, 192), (252, 251, 248), (252, 252, 250), (0.2, 1.0), 1800, 232, (1.12, 1.08, 1.05), sunny=True
    ),
    "dusk": Look(
        (222, 196, 180), (222, 234, 242), (208, 202, 206), (0.3, 0.9), 1500, 170, (0.5, 0.44, 0.44),
        headlights=0.22, glow=0.5, lit_windows=0.3, street_lamps=True, noise=4.5,
    ),
    "night": Look(
        (120, 92, 80), (190, 165, 160), (150, 130, 130), (0.2, 0.9), 1500, 90, (0.2, 0.18, 0.18),
        headlights=0.6, glow=0.9, lit_windows=0.4, street_lamps=True, noise=6.0,
    ),
    "rain": Look(
        (214, 208, 204), (240, 238, 234), (222, 218, 215), (1.0, 1.0), 260, 205, (0.72, 0.69, 0.67),
        glow=0.35, lit_windows=0.25, rain=True, noise=4.0,
    ),
    "fog": Look(
        (214, 214, 213), (214, 214, 213), (214, 214, 213), (1.0, 1.0), 80, 214, (0.98, 0.95, 0.94),
        glow=0.25, lit_windows=0.15, noise=3.0,
    ),
}  # fmt: skip

_GAIN_UNIT = 200
"""The tables of illumination are 8-bit; this value is full daylight."""


class Weather:
    """One look applied to frames of one size; every table and overlay is made once."""

    def __init__(self, look: Look, size_hw: tuple[int, int], rng: np.random.Generator) -> None:
        self.look = look
        height, width = size_hw
        cover = float(rng.uniform(*look.cover))
        self.sky = sky = sky_panorama(rng, (height, 2 * width), look.zenith, look.horizon, look.cloud, cover)
        if look.glow:
            np.minimum(sky, EMISSIVE, out=sky)
        metres = np.arange(256)
        clear = np.exp(-3.0 / look.visibility_m * metres)
        self._clear = (255 * clear).astype(np.uint8)
        self._haze = ((1 - clear) * look.haze).astype(np.uint8)
        x = (np.arange(width) - width / 2) / width
        y = (np.arange(height) - 0.5 * height) / height
        lens = 1 - 0.5 * (x[None, :] ** 2 + (y * height / width)[:, None] ** 2)
        self._daylight = (_GAIN_UNIT * np.clip(lens[..., None] * np.array(look.gain), 0, 1.27)).astype(np.uint8)
        beam = np.exp(-((x / 0.42) ** 2))[None, :] * np.clip(1 + 6 * np.minimum(y, 0), 0.12, 1)[:, None]
        self._beam = (255 * beam).astype(np.uint8)
        reach = look.headlights / (1 + (metres / 16.0) ** 2)
        self._reach = np.clip(_GAIN_UNIT * reach, 0, 255).astype(np.uint8)
        grain = rng.normal(0, 1.25 * look.noise, (height + 64, width + 64, 3))
        grain = np.rint(cv2.GaussianBlur(grain, (3, 3), 0.5))
        self._grain = tuple(np.clip(sign * grain, 0, 255).astype(np.uint8) for sign in (1, -1))
        self._streaks = _streaks(rng, (height + 96, width + 96)) if look.rain else None

    def develop(self, canvas: Canvas, camera: Camera, exposure: float, rng: np.random.Generator) -> Frame:
        """The camera's picture, uint8 (H, W, 3); `exposure` multiplies brightness, `rng` moves noise and rain."""
        frame: Any = canvas.frame
        metres = (canvas.ids >> 8).astype(np.uint8)
        if self.look.rain:
            self._wet(frame, canvas, camera)
        clear = cv2.cvtColor(cv2.LUT(metres, self._clear), cv2.COLOR_GRAY2BGR)
        haze = cv2.cvtColor(cv2.LUT(metres, self._haze), cv2.COLOR_GRAY2BGR)
        frame = cv2.add(cv2.multiply(frame, clear, scale=1 / 255), haze)
        light: Any = self._daylight
        if self.look.headlights:
            beam = cv2.multiply(cv2.LUT(metres, self._reach), self._beam, scale=1 / 255)
            light = cv2.add(light, cv2.cvtColor(beam, cv2.COLOR_GRAY2BGR))
        frame = cv2.multiply(frame, light, scale=exposure / _GAIN_UNIT)
        if self.look.glow:
            shine = 255 / (255 - EMISSIVE)  # what is drawn brighter than anything lit is a lamp or a lit window
            frame = cv2.add(frame, cv2.addWeighted(canvas.frame, shine, canvas.frame, 0, -shine * EMISSIVE))
            frame = self._glowing(frame, canvas)
        if self._streaks is not None:
            frame = cv2.add(frame, _window(self._streaks, frame.shape, rng))
        frame = cv2.GaussianBlur(frame, (3, 3), 0.5)
        state = rng.integers(0, 64, 2)
        brighter, darker = (_crop(tile, frame.shape, int(state[0]), int(state[1])) for tile in self._grain)
        return np.asarray(cv2.subtract(cv2.add(frame, brighter), darker), np.uint8)

    def _glowing(self, frame: Any, canvas: Canvas) -> Any:
        """Halos of the lamps that nothing hides, drawn at a quarter of the size and blurred."""
        height, width = canvas.ids.shape
        small = np.zeros((height // 4 + 1, width // 4 + 1, 3), np.uint8)
        largest = 3.5 * height / 360
        for u, v, z, radius_px, colour in canvas.lights:
            if 0 <= u < width and 0 <= v < height and canvas.ids[int(v), int(u)] >> 8 >= int(z) - 1:
                radius = round(16 * min(largest, max(0.5, radius_px / 4)))
                cv2.circle(small, (round(u * 4), round(v * 4)), radius, colour, -1, cv2.LINE_AA, 4)
        blurred = cv2.GaussianBlur(small, (0, 0), 1.2), cv2.GaussianBlur(small, (0, 0), 5)
        halo = cv2.addWeighted(blurred[0], 0.9 * self.look.glow, blurred[1], 0.9 * self.look.glow, 0)
        return cv2.add(frame, cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR))

    def _wet(self, frame: Any, canvas: Canvas, camera: Camera) -> None:
        """The scene above the horizon, mirrored and smeared downwards, on road and pavement."""
        height, width = canvas.ids.shape
        horizon = int(np.clip(camera.horizon_v, 8, height - 8))
        rows = min(horizon, height - horizon)
        above = frame[horizon - rows : horizon]
        small = cv2.resize(above, (width // 4, max(2, rows // 4)), interpolation=cv2.INTER_AREA)
        grazing = np.linspace(0.62, 0.2, len(small))[:, None, None]  # water reflects more at a flat angle
        mirror = (cv2.blur(cv2.flip(small, 0), (3, 13)) * grazing).astype(np.uint8)
        mirror = cv2.resize(mirror, (width, rows), interpolation=cv2.INTER_LINEAR)
        area, labels = frame[horizon : horizon + rows], canvas.ids[horizon : horizon + rows] & 15
        ground: Labels = ((labels == ROAD) | (labels == PAVEMENT)).astype(np.uint8)
        cv2.copyTo(cv2.addWeighted(area, 0.6, mirror, 0.8, 0), ground, area)


def _window(tile: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """A random cut-out of a tile."""
    return _crop(tile, shape, *(int(rng.integers(0, tile.shape[k] - shape[k] + 1)) for k in (0, 1)))


def _crop(tile: Any, shape: tuple[int, ...], v: int, u: int) -> Any:
    return tile[v : v + shape[0], u : u + shape[1]]


def _streaks(rng: np.random.Generator, size_hw: tuple[int, int]) -> Frame:
    """Falling drops, as they smear during an exposure."""
    streaks = np.zeros((*size_hw, 3), np.uint8)
    for _ in range(size_hw[0] * size_hw[1] // 420):
        u, v = rng.uniform(0, size_hw[1]), rng.uniform(0, size_hw[0])
        length, bright = rng.uniform(4, 22) * size_hw[0] / 456, rng.uniform(8, 46)
        end = (round(u - 0.12 * length), round(v + length))
        cv2.line(streaks, (round(u), round(v)), end, (bright, bright, bright), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(streaks, (3, 3), 0.6), np.uint8)
