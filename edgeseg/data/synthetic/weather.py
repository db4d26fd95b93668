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
from edgeseg.data.synthetic.canvas import DEPTH_STEPS_PER_M, EMISSIVE, Canvas, Colour
from edgeseg.data.synthetic.ground import sky_panorama
from edgeseg.types import Frame, Labels


@dataclass(frozen=True, slots=True)
class Look:
    """One kind of weather and light."""

    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: float
    """Share of the sky under cloud."""
    visibility_m: float
    """Meteorological optical range: contrast falls to 5 % there (WMO-No. 8), so extinction is 3 / visibility."""
    haze: Colour
    gain: Colour
    """Factors on blue, green and red."""
    headlights: float = 0.0
    """Brightness that our headlights add nearby, in multiples of full daylight."""
    glow: float = 0.0
    """Brightness of halos around lamps."""
    lit_windows: float = 0.0
    sunny: bool = False
    """Whether houses throw shadows."""
    rain: bool = False
    noise: float = 3.0
    """Standard deviation of the sensor's noise, grey levels."""


LOOKS = {
    "day": Look((226, 205, 185), (246, 246, 242), (243, 243, 241), 0.55, 2500, (225, 222, 216), (0.98, 0.97, 0.96), sunny=True),
    "dusk": Look(
        (118, 92, 76), (120, 150, 212), (112, 98, 100), 0.5, 1500, (110, 112, 128), (0.46, 0.42, 0.42),
        headlights=0.25, glow=0.5, lit_windows=0.3, noise=4.5,
    ),
    "night": Look(
        (46, 32, 26), (74, 62, 60), (58, 50, 50), 0.4, 1500, (30, 26, 26), (0.19, 0.17, 0.17),
        headlights=0.62, glow=1.0, lit_windows=0.4, noise=7.0,
    ),
    "rain": Look(
        (150, 146, 142), (178, 176, 172), (160, 157, 154), 1.0, 260, (150, 148, 145), (0.66, 0.63, 0.61),
        headlights=0.1, glow=0.45, lit_windows=0.25, rain=True, noise=4.5,
    ),
    "fog": Look(
        (206, 204, 200), (206, 204, 200), (206, 204, 200), 1.0, 75, (204, 202, 198), (0.95, 0.94, 0.93),
        headlights=0.0, glow=0.3, lit_windows=0.15, noise=3.0,
    ),
}  # fmt: skip


class Weather:
    """One look applied to frames of one size; every table and overlay is made once."""

    def __init__(self, look: Look, size_hw: tuple[int, int], rng: np.random.Generator) -> None:
        self.look = look
        height, width = size_hw
        self.sky = sky_panorama(rng, (height, 2 * width), look.zenith, look.horizon, look.cloud, look.cover)
        metres = np.arange(256)
        clear = np.exp(-3.0 / look.visibility_m * metres)
        self._clear = (255 * clear).astype(np.uint8)
        self._haze = np.clip((1 - clear)[:, None] * np.array(look.haze), 0, 255).astype(np.uint8)[None]
        x = (np.arange(width) - width / 2) / width
        y = (np.arange(height) - 0.5 * height) / height
        beam = np.exp(-((x / 0.42) ** 2))[None, :] * np.clip(1 + 6 * np.where(y > 0, 0, y), 0.12, 1)[:, None]
        self._beam = (255 * beam).astype(np.uint8)
        reach = look.headlights / (1 + (metres / 16.0) ** 2)
        reach[255] = 0
        self._reach = np.clip(200 * reach, 0, 255).astype(np.uint8)
        edge = 1 - 0.55 * (x[None, :] ** 2 + (y * height / width)[:, None] ** 2)
        self._vignette = cv2.cvtColor((255 * np.clip(edge, 0, 1)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        grain = 128 + look.noise * rng.normal(0, 1, (height + 64, width + 64, 3))
        self._grain = cv2.GaussianBlur(np.clip(grain, 0, 255).astype(np.uint8), (3, 3), 0.5)
        self._streaks = _streaks(rng, (height + 96, width + 96)) if look.rain else None

    def develop(self, canvas: Canvas, camera: Camera, exposure: float, rng: np.random.Generator) -> Frame:
        """The camera's picture, uint8 (H, W, 3); `exposure` multiplies brightness, `rng` moves noise and rain."""
        frame: Any = canvas.frame
        metres = (canvas.ids >> 8).astype(np.uint8)
        assert DEPTH_STEPS_PER_M == 16  # so the upper byte of an id is metres
        if self.look.rain:
            frame = self._wet(frame, canvas, camera)
        frame = self._hazy(frame, metres)
        frame = cv2.LUT(frame, self._tone(exposure))
        if self.look.headlights:
            frame = self._lit(frame, canvas.frame, metres)
        if self.look.glow:
            frame = self._glowing(frame, canvas)
        if self._streaks is not None:
            frame = cv2.add(frame, self._shifted(self._streaks, frame.shape, rng))
        frame = cv2.multiply(frame, self._vignette, scale=1 / 255)
        frame = cv2.GaussianBlur(frame, (3, 3), 0.55)
        return np.asarray(cv2.addWeighted(frame, 1, self._shifted(self._grain, frame.shape, rng), 1, -128), np.uint8)

    def _hazy(self, frame: Any, metres: Labels) -> Any:
        clear = cv2.cvtColor(cv2.LUT(metres, self._clear), cv2.COLOR_GRAY2BGR)
        haze = cv2.LUT(cv2.cvtColor(metres, cv2.COLOR_GRAY2BGR), self._haze)
        return cv2.add(cv2.multiply(frame, clear, scale=1 / 255), haze)

    def _tone(self, exposure: float) -> Any:
        """Darkens what is lit and leaves what shines: a table per channel."""
        grey = np.arange(256.0)[:, None]
        shine = np.clip((grey - EMISSIVE) / (255 - EMISSIVE), 0, 1) * (1 if self.look.glow else 0)
        gain = np.array(self.look.gain) * exposure
        dark = 255 * (1 - np.exp(-1.15 * gain * grey / 255 * (1 + 0.35 * grey / 255)))
        return np.clip(dark * (1 - shine) + grey * shine, 0, 255).astype(np.uint8)[None]

    def _lit(self, frame: Any, drawn: Frame, metres: Labels) -> Any:
        light = cv2.multiply(cv2.LUT(metres, self._reach), self._beam, scale=1 / 255)
        return cv2.add(frame, cv2.multiply(drawn, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), scale=1 / 255))

    def _glowing(self, frame: Any, canvas: Canvas) -> Any:
        """Halos, drawn at a quarter of the size and blurred."""
        height, width = canvas.ids.shape
        small = np.zeros((height // 4 + 1, width // 4 + 1, 3), np.uint8)
        for lamp in canvas.lights:
            centre = round(lamp.u * 4), round(lamp.v * 4)
            if abs(lamp.u) < 2 * width and abs(lamp.v) < 2 * height:
                radius = min(400, max(8, round(lamp.radius_px * 16 * 0.5)))
                cv2.circle(small, centre, radius, lamp.colour, -1, cv2.LINE_AA, 4)
        halo = cv2.addWeighted(cv2.GaussianBlur(small, (0, 0), 1.5), 1.0, cv2.GaussianBlur(small, (0, 0), 6), 0.9, 0)
        large = cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.addWeighted(frame, 1, large, self.look.glow, 0)

    def _wet(self, frame: Any, canvas: Canvas, camera: Camera) -> Any:
        """The scene above the horizon, mirrored and smeared downwards, on the ground."""
        height, width = canvas.ids.shape
        horizon = int(np.clip(camera.horizon_v, 8, height - 8))
        rows = min(horizon, height - horizon)
        above = cv2.resize(
            frame[horizon - rows : horizon], (width // 4, max(2, rows // 4)), interpolation=cv2.INTER_AREA
        )
        mirror = cv2.blur(cv2.flip(above, 0), (3, 15))
        grazing = np.linspace(0.75, 0.25, len(mirror))[:, None, None]  # water reflects more at a flat angle
        mirror = (mirror * grazing).astype(np.uint8)
        mirror = cv2.resize(mirror, (width, rows), interpolation=cv2.INTER_LINEAR)
        area = frame[horizon : horizon + rows]
        ground = np.isin(canvas.ids[horizon : horizon + rows] & 15, (3, 4)).astype(np.uint8)
        wet = cv2.addWeighted(area, 0.62, mirror, 0.75, 0)
        cv2.copyTo(wet, ground, area)
        return frame

    @staticmethod
    def _shifted(tile: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        v, u = (int(rng.integers(0, tile.shape[k] - shape[k] + 1)) for k in (0, 1))
        return tile[v : v + shape[0], u : u + shape[1]]


def _streaks(rng: np.random.Generator, size_hw: tuple[int, int]) -> Frame:
    """Falling drops, as they smear during an exposure."""
    streaks = np.zeros((*size_hw, 3), np.uint8)
    for _ in range(size_hw[0] * size_hw[1] // 420):
        u, v = rng.uniform(0, size_hw[1]), rng.uniform(0, size_hw[0])
        length, bright = rng.uniform(4, 22), rng.uniform(8, 46)
        end = (round(u - 0.12 * length), round(v + length))
        cv2.line(streaks, (round(u), round(v)), end, (bright, bright, bright), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(streaks, (3, 3), 0.6), np.uint8)
