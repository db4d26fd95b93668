"""The drive: time → camera → what is in view → painted far to near → weather → frame and labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.camera import FAR_M, NEAR_M, Bend, Camera
from edgeseg.data.synthetic.canvas import Canvas
from edgeseg.data.synthetic.figures import Drawable, painting_order
from edgeseg.data.synthetic.ground import Crossings, CrossSection, Ground
from edgeseg.data.synthetic.layout import DISTRICT_M, Town
from edgeseg.data.synthetic.traffic import Traffic
from edgeseg.data.synthetic.weather import LOOKS, Weather
from edgeseg.errors import ConfigError
from edgeseg.types import Frame, Labels

SCENES = (*LOOKS, "mixed")
_MIXED_S = 12.0
"""In a mixed drive the weather changes this often."""
_MIN_HW, _MAX_HW = (64, 64), (2160, 3840)


@dataclass(frozen=True, slots=True)
class EgoPath:
    """How our car moves: position along the road as a closed formula of time."""

    speed_mps: float
    swing_m: float
    swing_s: float

    def position(self, time_s: float) -> float:
        """Metres from the start; speeds up and slows down, never stops."""
        return 40.0 + self.speed_mps * time_s + self.swing_m * math.sin(time_s / self.swing_s)

    def arrival(self, position_m: float) -> float:
        """Time at which `position` is reached (fixed-point iteration; it contracts because we never stop)."""
        time_s = (position_m - 40.0) / self.speed_mps
        for _ in range(12):
            time_s = (position_m - 40.0 - self.swing_m * math.sin(time_s / self.swing_s)) / self.speed_mps
        return time_s


class SyntheticDrive:
    """A drive through a made-up British town: frames uint8 (H, W, 3) BGR, exact labels uint8 (H, W), classes `CAMVID`.

    `frame(index)` is a pure function of the parameters and the index: the same in every process, order and instance.
    Weather never alters labels: drives that differ in `scene` alone have identical labels.
    """

    def __init__(
        self, seed: int = 7, scene: str = "day", size_hw: tuple[int, int] = (360, 640), fps: float = 30.0
    ) -> None:
        _check(seed, scene, size_hw, fps)
        self.seed, self.scene, self.size_hw, self.fps = seed, scene, size_hw, fps
        rng = np.random.default_rng([seed, 1])
        self._section = CrossSection.pick(rng)
        self._bend = Bend.pick(rng)
        swing_s, speed = float(rng.uniform(3.0, 5.0)), float(rng.uniform(7.5, 10.5))
        self._path = EgoPath(speed, float(rng.uniform(0.2, 0.55)) * speed * swing_s, swing_s)
        self._shake = rng.uniform(0, 6.3, 8)
        self._ground = Ground(rng, self._section)
        self._town = Town(seed, self._section)
        self._ego_x = -0.46 * min(self._section.half_road_m, 4.0)
        self._traffic = Traffic(seed, self._section, self._ego_x)
        self._weather = lru_cache(maxsize=len(LOOKS))(self._make_weather)

    def frame(self, index: int) -> tuple[Frame, Labels]:
        """Frame `index` (0 or more) of the drive and its ground truth; raises `ConfigError` for a negative index."""
        if index < 0:
            raise ConfigError(f"frame index {index} is negative; a drive starts at frame 0.")
        time_s = index / self.fps
        camera = self._camera(time_s)
        weather = self._weather(self._scene_at(time_s))
        look = weather.look
        canvas = Canvas.blank(
            self.size_hw, lit_windows=look.lit_windows, street_lamps=look.street_lamps, sunny=look.sunny
        )
        things, crossings = self._in_view(time_s, camera)
        self._ground.draw(canvas, camera, weather.sky, crossings)
        pixels = camera.project(np.concatenate([thing.vertices for thing in things]))
        start = 0
        for thing in things:
            stop = start + len(thing.vertices)
            thing.draw(canvas, camera, pixels[start:stop])
            start = stop
        exposure = 1.0 + 0.17 * math.sin(time_s / 4.7 + self._shake[0]) + 0.08 * math.sin(time_s / 1.9)
        picture = weather.develop(canvas, camera, exposure, np.random.default_rng([self.seed, 3, index]))
        return picture, canvas.labels()

    def _scene_at(self, time_s: float) -> str:
        if self.scene != "mixed":
            return self.scene
        part = int(time_s // _MIXED_S)
        turn = int(np.random.default_rng([self.seed, 5, part // len(LOOKS)]).integers(len(LOOKS)))
        return tuple(LOOKS)[(part + turn) % len(LOOKS)]

    def _make_weather(self, scene: str) -> Weather:
        return Weather(LOOKS[scene], self.size_hw, np.random.default_rng([self.seed, 4]))

    def _camera(self, time_s: float) -> Camera:
        height, width = self.size_hw
        a, b, c, d, e, f, g, _ = self._shake
        focal = 1.3 * height
        pitch = 0.0035 * math.sin(5.1 * time_s + a) + 0.0022 * math.sin(11.7 * time_s + b)
        pitch += 0.0012 * math.sin(23.0 * time_s + c)
        yaw = 0.006 * math.sin(0.9 * time_s + d) + 0.0015 * math.sin(13.0 * time_s + e)
        position = self._path.position(time_s)
        return Camera(
            size_hw=self.size_hw,
            focal_px=focal,
            centre_u=(width - 1) / 2 - focal * yaw,
            horizon_v=0.52 * height + focal * pitch,
            eye_x_m=self._ego_x + 0.18 * math.sin(0.37 * time_s + f),
            eye_y_m=1.35 + 0.012 * math.sin(9.0 * time_s + g),
            s_m=position,
            heading=self._bend.heading(position),
            ahead=self._bend.ahead(position),
        )

    def _in_view(self, time_s: float, camera: Camera) -> tuple[list[Drawable], Crossings]:
        """Everything between the camera and the backdrop that may be in the picture, in painting order."""
        s = camera.s_m
        first, last = int((s - 20) // DISTRICT_M), int((s + FAR_M) // DISTRICT_M)
        districts = [self._town.district(number) for number in range(first, last + 1)]
        movers = list(self._traffic.at(time_s, camera))
        for district in districts:
            if district.zebra is not None and abs(district.zebra - s) < FAR_M:
                movers += self._traffic.crossing(district.zebra, self._path.arrival(district.zebra), time_s)
        movers = [mover for mover in movers if mover.far_m > s + 1.5 * NEAR_M]
        seen: list[tuple[tuple[int, int, float], Drawable]] = [(painting_order(mover), mover) for mover in movers]
        for district in districts:
            seen += [district.objects[k] for k in _visible(district.bounds, camera)]
        seen.sort(key=itemgetter(0))
        side_roads = tuple(district.side_road for district in districts if district.side_road is not None)
        zebras = tuple(district.zebra for district in districts if district.zebra is not None)
        return [thing for _, thing in seen], Crossings(side_roads, zebras)


def _visible(bounds: NDArray[np.float64], camera: Camera) -> list[int]:
    """Which of the objects with these `District.bounds` may be in the picture."""
    far, x, half, view = bounds.T
    depth = far - camera.s_m
    off_axis = np.abs(x - camera.eye_x_m + camera.lateral(depth)) - half
    reach = 0.53 * camera.size_hw[1] / camera.focal_px * depth
    inside = (depth > 1.5 * NEAR_M) & (off_axis < reach) & (depth < view)
    found: list[int] = np.flatnonzero(inside).tolist()
    return found


def _check(seed: int, scene: str, size_hw: tuple[int, int], fps: float) -> None:
    if seed < 0:
        raise ConfigError(f"seed={seed}: expected 0 or more.")
    if scene not in SCENES:
        raise ConfigError(f"scene={scene!r} is unknown; choose one of: {', '.join(SCENES)}.")
    if len(size_hw) != 2 or any(not low <= n <= high for n, low, high in zip(size_hw, _MIN_HW, _MAX_HW, strict=True)):
        raise ConfigError(f"size_hw={size_hw}: expected height and width from {_MIN_HW} to {_MAX_HW} pixels.")
    if not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"fps={fps}: expected a positive number of frames per second.")
