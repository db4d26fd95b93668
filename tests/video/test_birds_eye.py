from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.types import UNKNOWN, Segmentation
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.scene.birds_eye import BirdsEye, birds_eye_from_points, read_birds_eye
from edgeseg.video.sources.base import FrameRecord

ROAD, PERSON = (CAMVID.names.index(name) for name in ("road", "pedestrian"))
SIZE_HW = (360, 480)
PIXELS = ((100.0, 350.0), (380.0, 350.0), (210.0, 220.0), (270.0, 220.0))
METRES = ((-1.5, 3.0), (1.5, 3.0), (-1.5, 20.0), (1.5, 20.0))


def test_points_come_back_in_metres_at_any_size(tmp_path: Path) -> None:
    birds_eye_from_points(PIXELS, METRES, SIZE_HW).write(tmp_path / "eye.json")
    eye = read_birds_eye(tmp_path / "eye.json")
    assert eye.ground_m(np.array(PIXELS), SIZE_HW) == pytest.approx(np.array(METRES), abs=1e-6)
    assert eye.ground_m(2 * np.array(PIXELS), (720, 960)) == pytest.approx(np.array(METRES), abs=1e-6)
    assert eye.distances_m(np.array(PIXELS), SIZE_HW) == pytest.approx(np.hypot(*np.array(METRES).T), abs=1e-6)
    assert np.isnan(eye.distances_m(np.array([[240, 5]]), SIZE_HW)).all()


def test_free_space_and_people_have_distances() -> None:
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[200:] = ROAD
    labels[220:350, 230:250] = PERSON
    analyser = SceneAnalyser(CAMVID, homography=birds_eye_from_points(PIXELS, METRES, SIZE_HW))
    found = analyser(FrameRecord(0, np.zeros((*SIZE_HW, 3), np.uint8), 0.0, ""), Segmentation(labels, 1.0))
    assert found.people[0].distance_m == pytest.approx(3.0, abs=0.05)
    assert found.free_space is not None
    distances = found.free_space.distances_m
    assert distances is not None
    middle = np.abs(found.free_space.columns_x - 240) < 8
    assert distances[middle] == pytest.approx(3.0, abs=0.2)


def test_the_view_from_above() -> None:
    labels = np.full(SIZE_HW, ROAD, np.uint8)
    eye = birds_eye_from_points(PIXELS, METRES, SIZE_HW)
    view = eye.top_view(labels, ahead_m=20, aside_m=5, px_per_m=10)
    assert view.shape == (200, 100)
    assert view[100, 50] == ROAD
    assert view[-1, 0] == UNKNOWN  # beside the car nothing is seen


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ({"image_to_ground": [[1, 0, 0], [0, 1, 0]], "camera_width": 4, "camera_height": 3}, "3 x 3"),
        ({"image_to_ground": [["a"]], "camera_width": 4, "camera_height": 3}, "3 rows of 3"),
        ({"image_to_ground": np.eye(3).tolist(), "camera_width": 4.5, "camera_height": 3}, "whole numbers"),
        ({"image_to_ground": np.zeros((3, 3)).tolist(), "camera_width": 4, "camera_height": 3}, "inverted"),
        ({"image_to_ground": (-np.eye(3)).tolist(), "camera_width": 4, "camera_height": 3}, "behind the camera"),
        ({"image_to_ground": [[float("nan")] * 3] * 3, "camera_width": 4, "camera_height": 3}, "finite"),
        ({"image_to_ground": np.eye(3).tolist(), "camera_width": 0, "camera_height": 3}, "height and width"),
    ],
)
def test_homography_files_are_checked(tmp_path: Path, value: object, says: str) -> None:
    path = tmp_path / "eye.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(ConfigError, match=says) as caught:
        read_birds_eye(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_homographies_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="four or more"):
        birds_eye_from_points(PIXELS[:3], METRES[:3], SIZE_HW)
    with pytest.raises(ConfigError, match="on a line"):
        birds_eye_from_points([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], METRES, SIZE_HW)
    with pytest.raises(ConfigError, match="nowhere"):
        read_birds_eye("nowhere.json")
    with pytest.raises(ConfigError, match="3 x 3"):
        BirdsEye(np.eye(2), SIZE_HW)
