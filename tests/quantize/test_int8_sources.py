"""What INT8 is calibrated on and judged by: found from what is named, and refused where it would prove nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_judged import soft_frames

from edgeseg.errors import ConfigError, GateError
from edgeseg.labels import CAMVID, LabelMap
from edgeseg.quantize import calibration_set, int8_sources
from edgeseg.quantize.int8_sources import DRAWN, FIXED_CAMERA, UNLABELLED, Asked, find_sources
from edgeseg.types import Frame

HW = (64, 96)
OTHERS = LabelMap(("road", "rest"), ((1, 1, 1), (2, 2, 2)))


def camvid(folder: Path, splits: dict[str, list[Frame]]) -> Path:
    """A dataset in CamVid's layout; every pixel is road but for a corner of pedestrian."""
    for split, frames in splits.items():
        lines = []
        for index, frame in enumerate(frames):
            labels = np.full(frame.shape[:2], 3, np.uint8)
            labels[:10, :10] = 9
            name = f"{split}_{index:03d}.png"
            for kind, picture in ((split, frame), (f"{split}annot", labels)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / name), picture)
            lines.append(f"{split}/{name} {split}annot/{name}")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def frames() -> list[Frame]:
    return soft_frames(12, seed=5)


@pytest.fixture
def dataset(tmp_path: Path, frames: list[Frame]) -> Path:
    return camvid(tmp_path / "camvid", {"train": frames[:6], "val": frames[6:9], "test": frames[9:]})


def test_a_labelled_dataset_is_calibrated_on_train_and_judged_by_val(dataset: Path) -> None:
    found = find_sources(Asked(dataset, count=4), CAMVID, HW)
    assert [frame.source.split for frame in found.calibration.frames] == ["train"] * 4
    assert found.evaluation is not None
    assert (found.evaluation.name, len(found.evaluation)) == ("camvid val", 3)
    assert found.note is None
    assert set(found.audit.compared) == {"camvid test", "camvid val"}, "held against all that is measured on"


@pytest.mark.parametrize("leaked", ["test", "val"])
def test_a_frame_that_is_measured_on_may_not_be_calibrated_on(tmp_path: Path, frames: list[Frame], leaked: str) -> None:
    """A test-split frame in the calibration set: under another name, and packed as JPEG."""
    splits = {"train": frames[:5], "val": frames[6:9], "test": frames[9:]}
    packed = cv2.imencode(".jpg", splits[leaked][1])[1]
    splits["train"].append(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8))
    with pytest.raises(GateError, match=rf"refused: leakage: .*train_005.* {leaked}_001") as told:
        find_sources(Asked(camvid(tmp_path / "camvid", splits)), CAMVID, HW)
    assert "\n" not in str(told.value)


def test_a_camera_that_never_moves_is_recorded_as_one(tmp_path: Path, frames: list[Frame]) -> None:
    view = frames[0]
    light = [np.asarray(cv2.convertScaleAbs(view, alpha=0.9, beta=index), np.uint8) for index in range(9)]
    asked = Asked(camvid(tmp_path / "camvid", {"train": light[:5], "val": light[5:7], "test": light[7:]}))
    with pytest.raises(GateError, match="say so with --fixed-camera"):
        find_sources(asked, CAMVID, HW)
    assert find_sources(replace(asked, fixed_camera=True), CAMVID, HW).note == FIXED_CAMERA


def test_random_frames_are_refused(tmp_path: Path) -> None:
    """Other tools calibrate on random data without a word."""
    folder = tmp_path / "random"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (*HW, 3), np.uint8))
    with pytest.raises(GateError, match="refused: noise: 6 of 6 frames"):
        find_sources(Asked(folder), CAMVID, HW)


def test_frames_without_labels_are_said_to_be_so(tmp_path: Path, frames: list[Frame]) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:02d}.png"), frame)
    found = find_sources(Asked(folder), CAMVID, HW)
    assert found.evaluation is None
    assert found.note == UNLABELLED
    with pytest.raises(ConfigError, match="has no split val; name labelled frames with --int8-data"):
        find_sources(Asked(folder, split="val"), CAMVID, HW)
    with pytest.raises(ConfigError, match="has no classes to map; name labelled frames with --int8-data"):
        find_sources(Asked(folder, mapping="driving"), CAMVID, HW)


def test_labelled_frames_of_another_dataset(tmp_path: Path, dataset: Path, frames: list[Frame]) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(soft_frames(5, seed=77)):
        cv2.imwrite(str(folder / f"{index:02d}.png"), frame)
    found = find_sources(Asked(folder, dataset, split="test"), CAMVID, HW)
    assert found.evaluation is not None
    assert found.evaluation.name == "camvid test"
    with pytest.raises(ConfigError, match="the model's 2 classes"):
        find_sources(Asked(folder, dataset), OTHERS, HW)


def test_a_dataset_of_other_classes_still_has_frames(dataset: Path) -> None:
    found = find_sources(Asked(dataset, count=4), OTHERS, HW)
    assert found.evaluation is None
    assert found.note == UNLABELLED


def test_without_data_the_drive_is_calibrated_on_and_other_towns_of_it_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_sources, "DRAWN_FRAMES", 1)
    for module in (int8_sources, calibration_set):
        monkeypatch.setattr(module, "SCENES", ("day", "night"))
    found = find_sources(Asked(count=4), CAMVID, HW)
    assert found.note == DRAWN
    assert {frame.source.split for frame in found.calibration.frames} == {"train"}
    assert found.evaluation is not None
    assert found.evaluation.name == "synthetic val: day, night"
    assert len({found.evaluation[index].name for index in range(2)}) == 2
    seeds = {sample.name.partition("_")[0] for sample in map(found.evaluation.__getitem__, range(2))}
    assert seeds == {"seed1000003"}, "another town"
    for index in (-1, 2):
        with pytest.raises(IndexError):
            found.evaluation[index]
    # A set that `edgeseg calibrate` drew before is judged as one that is drawn now.
    found.calibration.save(tmp_path / "calibration.json")
    again = find_sources(Asked(tmp_path), CAMVID, HW)
    assert again.evaluation is not None
    assert (again.calibration.digest, again.evaluation.name, again.note) == (
        found.calibration.digest,
        found.evaluation.name,
        DRAWN,
    )
    with pytest.raises(ConfigError, match="name what it is calibrated on"):
        find_sources(Asked(evaluation_data="data"), CAMVID, HW)
    with pytest.raises(ConfigError, match="this model has others"):
        find_sources(Asked(count=4), OTHERS, HW)
