"""The synthetic drive: deterministic, exactly labelled, moving, and unlike itself in other weather."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.data import open_dataset
from edgeseg.data.synthetic import SCENES, SyntheticDrive, open_synthetic
from edgeseg.data.synthetic.camera import FRACTION_BITS, Bend, Camera
from edgeseg.data.synthetic.canvas import BUILDING, Canvas
from edgeseg.data.synthetic.textured import Texture, Wall
from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.types import Frame, Labels

SMALL = (120, 160)
SKY, ROAD = CAMVID.ids(["sky", "road"])


@cache
def drive(scene: str = "day", seed: int = 7) -> SyntheticDrive:
    return SyntheticDrive(seed, scene, SMALL)


@cache
def frame(scene: str, index: int) -> tuple[Frame, Labels]:
    return drive(scene).frame(index)


def grey(picture: Frame) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


# ------------------------------------------------------------------------------------------------ a pure function


@pytest.mark.parametrize("scene", ["rain", "mixed"])
def test_frames_do_not_depend_on_instance_or_order(scene: str) -> None:
    forwards = [drive(scene).frame(index) for index in (3, 40, 1200)]
    backwards = [SyntheticDrive(7, scene, SMALL).frame(index) for index in (1200, 40, 3)][::-1]
    for (picture, labels), (again, labels_again) in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(picture, again)
        np.testing.assert_array_equal(labels, labels_again)


def test_a_frame_is_fresh_memory() -> None:
    picture, labels = drive().frame(5)
    wanted = picture.copy(), labels.copy()
    picture[:], labels[:] = 0, 0
    for array, original in zip(drive().frame(5), wanted, strict=True):
        np.testing.assert_array_equal(array, original)


def test_another_seed_is_another_town() -> None:
    labels, others = frame("day", 60)[1], drive(seed=8).frame(60)[1]
    assert np.mean(labels != others) > 0.1


@pytest.mark.parametrize("size_hw", [(360, 640), (97, 211)])
def test_size_and_dtype(size_hw: tuple[int, int]) -> None:
    picture, labels = SyntheticDrive(size_hw=size_hw).frame(0)
    assert picture.shape == (*size_hw, 3)
    assert labels.shape == size_hw
    assert picture.dtype == labels.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert labels.flags.c_contiguous


def test_frames_per_second_is_a_rate_of_the_same_drive() -> None:
    fast, slow = SyntheticDrive(7, "day", SMALL, fps=60.0), drive()
    np.testing.assert_array_equal(fast.frame(120)[1], slow.frame(60)[1])


# ------------------------------------------------------------------------------------------------ exact labels


def test_every_class_occurs_and_nothing_else() -> None:
    counts = np.zeros(256, np.int64)
    for index in range(0, 2400, 60):
        counts += np.bincount(drive().frame(index)[1].ravel(), minlength=256)
    shares = counts / counts.sum()
    assert counts[len(CAMVID) :].sum() == 0
    assert dict(zip(CAMVID.names, shares, strict=False)).keys() == set(CAMVID.names)
    assert shares[: len(CAMVID)].min() > 0.0003
    assert 0.22 < shares[ROAD] < 0.45
    assert 0.08 < shares[SKY] < 0.35


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "day"])
def test_weather_never_alters_labels(scene: str) -> None:
    for index in (10, 700):
        np.testing.assert_array_equal(frame(scene, index)[1], frame("day", index)[1])
        assert np.mean(frame(scene, index)[0] != frame("day", index)[0]) > 0.5 or scene == "mixed"


def test_the_picture_changes_where_the_sky_ends() -> None:
    """Moving the labels by three pixels off the picture must lose contrast across the sky's border."""
    contrasts = {}
    for shift in (0, 3, -3):
        total = 0.0
        for index in (10, 300, 700):
            picture, labels = frame("day", index)
            sky = np.roll(labels == SKY, shift, axis=1)
            border = sky[:, 4:-5] != sky[:, 5:-4]
            step = np.abs(np.diff(grey(picture).astype(float), axis=1))[:, 4:-4]
            total += float(step[border].mean())
        contrasts[shift] = total
    assert contrasts[0] > 2 * max(contrasts[3], contrasts[-3])


def test_sky_is_brighter_than_road_by_day() -> None:
    picture, labels = frame("day", 10)
    assert grey(picture)[labels == SKY].mean() > 60 + grey(picture)[labels == ROAD].mean()


def test_a_wall_is_drawn_where_the_camera_projects_it() -> None:
    """Pixel, label and depth of points on a wall whose texture tells position: red along it, green upwards."""
    bend = Bend((0.0, 0.0), (80.0, 30.0), (0.0, 0.0))
    camera = Camera((240, 320), 300.0, 160.0, 120.0, -1.5, 1.4, 40.0, 0.0, bend.ahead(40.0))
    along, up = np.meshgrid(np.linspace(0, 240, 512), np.linspace(240, 0, 256))
    picture = np.dstack([np.zeros_like(up), up, along]).astype(np.uint8)
    wall = Wall(52.0, 62.0, 5.0, 4.0, BUILDING, 0, lambda _canvas: Texture.of(picture))
    canvas = Canvas(np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320), np.uint16))
    wall.draw(canvas, camera, camera.project(wall.vertices))
    shares = [(a, b) for a in (0.05, 0.3, 0.6, 0.95) for b in (0.06, 0.5, 0.93)]
    points = np.array([(5.0, 4.0 * b, 52.0 + 10.0 * a) for a, b in shares])
    for (a, b), (u, v) in zip(shares, np.rint(camera.project(points) / (1 << FRACTION_BITS)).astype(int), strict=True):
        assert canvas.frame[v, u] == pytest.approx((0, 240 * b, 240 * a), abs=8)
        assert canvas.ids[v, u] & 15 == BUILDING
        assert (canvas.ids[v, u] >> 4) / 16 == pytest.approx(12.0 + 10.0 * a, abs=0.4)
    assert not canvas.labels()[:, :200].any()


# ------------------------------------------------------------------------------------------------ motion


def test_the_world_comes_towards_the_camera() -> None:
    """Optical flow on the road: downwards everywhere, outwards from the middle."""
    larger, flows = SyntheticDrive(7, "day", (240, 320)), []
    for index in (600, 630, 660):
        before, after = (grey(larger.frame(index + k)[0]) for k in (0, 1))
        flows.append(cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 21, 3, 5, 1.1, 0))  # type: ignore[call-overload]
    down = np.median([flow[170:230, 40:280, 1] for flow in flows])
    left = np.median([flow[170:230, 20:100, 0] for flow in flows])
    right = np.median([flow[170:230, 220:300, 0] for flow in flows])
    assert down > 1
    assert left < -0.5 < 0.5 < right


def test_neighbouring_frames_show_the_same_things() -> None:
    labels = [drive().frame(index)[1] for index in (600, 601, 602, 603, 645)]
    steps = [float(np.mean(a == b)) for a, b in pairwise(labels[:4])]
    assert min(steps) > 0.93
    assert max(steps) < 1.0
    assert np.mean(labels[0] == labels[-1]) < min(steps)


# ------------------------------------------------------------------------------------------------ weather


def test_night_is_darker_than_dusk_and_dusk_than_day() -> None:
    brightness = [
        np.mean([grey(frame(scene, index)[0]).mean() for index in (10, 700)]) for scene in ("night", "dusk", "day")
    ]
    assert brightness[0] < 0.85 * brightness[1]
    assert brightness[1] < 0.85 * brightness[2]


def test_fog_takes_contrast_with_distance() -> None:
    """In a strip at the horizon, where things are far, fog leaves a fraction of the contrast; at the bumper, most."""

    def contrast(scene: str, rows: slice) -> float:
        return float(np.mean([grey(frame(scene, index)[0])[rows, 55:105].std() for index in (10, 300, 700)]))

    far, near = slice(48, 62), slice(95, 118)
    assert contrast("fog", far) < 0.6 * contrast("day", far)
    assert contrast("fog", far) / contrast("day", far) < 0.8 * contrast("fog", near) / contrast("day", near)


def test_mixed_goes_through_different_weather() -> None:
    brightness = [grey(drive("mixed").frame(index)[0]).mean() for index in range(0, 1800, 360)]
    assert max(brightness) > 2 * min(brightness)


# ------------------------------------------------------------------------------------------------ refusals, dataset


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scene": "snow"}, "day, dusk, night, rain, fog, mixed"),
        ({"seed": -1}, "seed=-1"),
        ({"size_hw": (10, 640)}, "size_hw=(10, 640)"),
        ({"size_hw": (360, 100_000)}, "2160"),
        ({"fps": 0.0}, "fps=0.0"),
        ({"fps": float("nan")}, "fps=nan"),
    ],
)
def test_bad_parameters_are_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SyntheticDrive(**arguments)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ConfigError, match="starts at frame 0"):
        drive().frame(-1)


def test_a_dataset_is_every_step_th_frame() -> None:
    dataset = open_dataset("synthetic", "seed=7&scene=rain&frames=3&size=120x160&step=20", "train")
    samples = list(dataset)  # type: ignore[call-overload]
    assert (dataset.name, dataset.label_map, len(dataset)) == ("synthetic train", CAMVID, 3)
    assert len({sample.name for sample in samples}) == 3
    for k, sample in enumerate(samples):
        picture, labels = drive("rain").frame(20 * k)
        np.testing.assert_array_equal(sample.image_bgr, picture)
        np.testing.assert_array_equal(sample.labels, labels)


def test_splits_are_different_towns() -> None:
    frames = [open_synthetic("frames=1&size=120x160", split)[0].labels for split in ("train", "val", "test")]
    assert all(np.mean(a != b) > 0.1 for a, b in pairwise([*frames, frames[0]]))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("seed=7&sceen=rain", "unknown sceen; known keys: seed, scene, frames, size, step, fps"),
        ("rain", "unknown rain; known keys"),
        ("frames=0", "frames has the value '0'"),
        ("step=1.5", "step has the value '1.5'"),
        ("size=360", "size=360x480"),
        ("seed=-3", "seed has the value '-3'"),
        ("scene=snow", "choose one of"),
    ],
)
def test_a_bad_description_is_refused(query: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_synthetic(query, "train")
    assert words in str(caught.value)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="train, val, test"):
        open_synthetic("seed=7", "trainval")
