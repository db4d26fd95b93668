"""The audit of a calibration set, with every fault it must find planted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import save_frame
from tiny_scenes import HW, Drawn, camvid_of, drive, scene

from edgeseg.errors import GateError
from edgeseg.quantize.audit import AuditReport, audit
from edgeseg.quantize.calibrate import measured_on
from edgeseg.quantize.calibration_set import open_calibration
from edgeseg.quantize.frame_source import find_source
from edgeseg.quantize.look import LEAST_CORRELATION, NEAR_BITS, look_at
from edgeseg.types import Frame

ALL_CLASSES = tuple(range(1, 11))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Nothing is wrong with it: 40 frames, two sequences, two dark ones, all classes, a test split of its own."""
    pictures = drive(40, dark=(3, 11))
    pictures["town_0001"] = Drawn(1, ids=ALL_CLASSES)
    return camvid_of(tmp_path / "camvid", {"train": pictures, "test": drive(6, first_seed=500)})


def audited(dataset: Path, *, fixed_camera: bool = False) -> AuditReport:
    calibration = open_calibration(dataset, count=40)
    against = measured_on(calibration.sources[0]) if calibration.sources[0].format else []
    return audit(calibration, against=against, fixed_camera=fixed_camera)


def kinds(report: AuditReport) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_a_good_set_has_nothing_to_say(dataset: Path) -> None:
    renamed = dataset / "test.txt"  # the same names as in train would be leakage
    for number, line in enumerate(renamed.read_text().splitlines()):
        for part in line.split():
            old = dataset / part
            old.rename(old.with_name(f"other_{number}.png"))
    renamed.write_text("\n".join(f"test/other_{n}.png testannot/other_{n}.png" for n in range(6)))
    report = audited(dataset)
    assert report.findings == ()
    assert report.passed
    report.raise_if_failed()
    assert (report.frames, report.dark, report.compared) == (40, 2, {"camvid test": 6})
    assert report.scenes == {"village": 20, "town": 20}
    assert report.classes is not None
    assert report.classes["road"] == 40
    assert report.classes["bicyclist"] == 1
    assert report.to_dict()["findings"] == []


class TestLeakage:
    def put_into_test(self, dataset: Path, name: str, frame: Frame) -> None:
        save_frame(dataset / "test" / f"{name}.png", frame)
        labels = (dataset / "testannot" / "village_0000.png").read_bytes()
        (dataset / "testannot" / f"{name}.png").write_bytes(labels)
        (dataset / "test.txt").write_text(f"test/{name}.png testannot/{name}.png\n")

    def refusal(self, dataset: Path) -> str:
        report = audited(dataset)
        assert [finding.kind for finding in report.findings if finding.is_error] == ["leakage"]
        with pytest.raises(GateError) as caught:
            report.raise_if_failed()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_by_pixels(self, dataset: Path) -> None:
        self.put_into_test(dataset, "zebra", scene(12))
        assert "leakage: 1 of 40 frames: village_0012 is zebra of camvid test" in self.refusal(dataset)

    @pytest.mark.parametrize("how", ["jpeg", "brighter", "larger", "grey"])
    def test_by_looks(self, dataset: Path, how: str) -> None:
        frame = scene(12)
        changed = {
            "jpeg": cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR),
            "brighter": cv2.convertScaleAbs(frame, alpha=1.1, beta=8),
            "larger": cv2.resize(frame, None, fx=1.5, fy=1.5),
            "grey": cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        }[how]
        picture = np.asarray(changed, np.uint8)
        height, width = picture.shape[:2]
        self.put_into_test(dataset, "zebra", picture)
        cv2.imwrite(str(dataset / "testannot" / "zebra.png"), np.zeros((height, width), np.uint8))
        assert "village_0012 looks like zebra of camvid test" in self.refusal(dataset)

    def test_by_name_within_the_same_dataset(self, dataset: Path) -> None:
        self.put_into_test(dataset, "village_0012", scene(700))
        assert "village_0012 is village_0012 of camvid test by name" in self.refusal(dataset)

    def test_the_same_name_in_another_dataset_is_another_frame(self, dataset: Path, tmp_path: Path) -> None:
        other = camvid_of(tmp_path / "other", {"test": drive(3, first_seed=800)})
        report = audit(open_calibration(dataset, count=40), against=[find_source(other, split="test")])
        assert "leakage" not in kinds(report)

    def test_calibrating_on_the_test_split_itself(self, dataset: Path) -> None:
        calibration = open_calibration(dataset, split="test")
        report = audit(calibration, against=measured_on(calibration.sources[0]))
        with pytest.raises(GateError, match=r"leakage: 6 of 6 frames: .* and 1 more"):
            report.raise_if_failed()


class TestFixedCamera:
    """A camera on a pole: always the same view, in other light."""

    @pytest.fixture
    def pole(self, tmp_path: Path) -> Path:
        train = {f"morning_{hour}": Drawn(0, 100.0 + hour) for hour in range(6)}
        test = {f"evening_{hour}": Drawn(0, 80.0 + hour) for hour in range(4)}
        return camvid_of(tmp_path, {"train": train, "test": test})

    def test_it_is_refused_with_the_way_on(self, pole: Path) -> None:
        with pytest.raises(
            GateError, match=r"looks like evening_.*If the camera never moves, say so with --fixed-camera"
        ):
            audited(pole).raise_if_failed()

    def test_said_to_be_one_it_is_a_warning(self, pole: Path) -> None:
        report = audited(pole, fixed_camera=True)
        assert report.passed
        (warning,) = (finding.text for finding in report.findings if finding.kind == "fixed camera")
        assert warning.startswith("6 of 6 frames: morning_0 looks like evening_")

    def test_the_very_frame_is_refused_all_the_same(self, pole: Path) -> None:
        (pole / "test" / "evening_2.png").write_bytes((pole / "train" / "morning_4.png").read_bytes())
        report = audited(pole, fixed_camera=True)
        with pytest.raises(GateError, match=r"leakage: 1 of 6 frames: morning_4 is evening_2 of camvid test\.") as told:
            report.raise_if_failed()
        assert "--fixed-camera" not in str(told.value)

    def test_a_car_is_no_fixed_camera(self, tmp_path: Path) -> None:
        root = camvid_of(tmp_path, {"train": drive(6), "test": {"planted": Drawn(3, 140.0)}})
        with pytest.raises(GateError, match=r"town_0003 looks like planted.*so --fixed-camera does not hold\."):
            audited(root, fixed_camera=True).raise_if_failed()


class TestWhatIsNoPicture:
    @pytest.fixture
    def images(self, tmp_path: Path) -> Path:
        for index in range(34):
            save_frame(tmp_path / "images" / f"view_{index:02d}.png", scene(index, 40 if index % 5 == 0 else 120))
        return tmp_path / "images"

    def noise(self, how: str) -> Frame:
        rng = np.random.default_rng(0)
        height, width = 96, 128
        shapes = {"colour": (height, width, 3), "grey": (height, width, 1), "enlarged": (height // 8, width // 8, 3)}
        values = rng.integers(0, 256, shapes.get(how, shapes["colour"]), dtype=np.uint8)
        if how == "gaussian":
            values = np.clip(rng.normal(128, 25, shapes["colour"]), 0, 255).astype(np.uint8)
        if how == "blurred":
            values = np.asarray(cv2.GaussianBlur(values, (0, 0), 1.0), np.uint8)
        return np.asarray(cv2.resize(np.broadcast_to(values, (*values.shape[:2], 3)), (width, height)), np.uint8)

    @pytest.mark.parametrize("how", ["colour", "grey", "gaussian", "blurred"])
    def test_one_frame_of_noise_is_refused(self, images: Path, how: str) -> None:
        save_frame(images / "noise.png", self.noise(how))
        report = audited(images)
        with pytest.raises(GateError, match="noise: 1 of 35 frames: noise"):
            report.raise_if_failed()

    def test_noise_enlarged_to_the_size_of_a_camera(self) -> None:
        rng = np.random.default_rng(1)
        enlarged = cv2.resize(rng.integers(0, 256, (45, 60, 3), dtype=np.uint8), (480, 360))
        assert look_at(np.asarray(enlarged, np.uint8)).is_noise

    @pytest.mark.parametrize("value", [0, 255, 114])
    def test_a_constant_frame_is_refused(self, images: Path, value: int) -> None:
        save_frame(images / "blank.png", np.full((*HW, 3), value, np.uint8))
        with pytest.raises(GateError, match="blank: 1 of 35 frames: blank"):
            audited(images).raise_if_failed()

    def test_scenes_are_neither(self) -> None:
        looks = [look_at(scene(seed, brightness)) for seed, brightness in enumerate(range(20, 200, 20))]
        assert not any(look.is_noise or look.is_constant for look in looks)


class TestWhatASetLacks:
    def warned(self, dataset: Path) -> dict[str, str]:
        report = audited(dataset)
        assert report.passed
        return {finding.kind: finding.text for finding in report.findings}

    def test_classes(self, tmp_path: Path) -> None:
        root = camvid_of(tmp_path, {"train": drive(40, dark=(1,))})
        assert self.warned(root) == {
            "missing classes": "no frame shows building, pole, pavement, tree, sign, fence, car, pedestrian, bicyclist"
        }

    def test_classes_that_the_model_alone_has(self, dataset: Path) -> None:
        report = audit(open_calibration(dataset, count=40), classes=("road", "tram"))
        assert [finding.text for finding in report.findings] == ["no frame shows tram"]

    def test_darkness(self, tmp_path: Path) -> None:
        pictures = {**drive(40), "town_0001": Drawn(1, ids=ALL_CLASSES)}
        assert list(self.warned(camvid_of(tmp_path, {"train": pictures}))) == ["only daylight"]

    def test_frames_and_scenes(self, tmp_path: Path) -> None:
        """One view, from which the camera turns slowly away."""
        view = scene(0, size_hw=(48, 640))
        for index in range(31):
            save_frame(
                tmp_path / f"{index:03d}.png", view[:, 18 * index : 18 * index + 100] // (4 if index == 9 else 1)
            )
        warned = self.warned(tmp_path)
        assert list(warned) == ["too few frames", "one scene"]
        assert warned["too few frames"].startswith("31;")

    def test_difference(self, tmp_path: Path) -> None:
        """A parked car: the same view again and again."""
        for index in range(40):
            frame = scene(index, 40 if index == 30 else 120) if index % 2 else scene(0, 100.0 + index)
            save_frame(tmp_path / f"{index:03d}.png", frame)
        warned = self.warned(tmp_path)
        assert "look like one before" in warned["duplicates"]

    def test_nothing_is_said_of_classes_without_labels(self, tmp_path: Path) -> None:
        for index in range(3):
            save_frame(tmp_path / f"{index}.png", scene(index))
        report = audited(tmp_path)
        assert report.classes is None
        assert "missing classes" not in kinds(report)


@pytest.mark.real_data
class TestRealScenes:
    def test_splits_of_camvid_share_no_picture_and_none_is_noise(self, shared_data: Path) -> None:
        """Every twelfth frame; all of them have been measured, see `NEAR_BITS`."""
        sources = [find_source(shared_data / "camvid", split=split).open() for split in ("train", "val", "test")]
        looks = [[look_at(f.frame_bgr) for f in source.read(range(0, source.count or 0, 12))] for source in sources]
        assert min(a.distance(b) for a in looks[0] for b in looks[1] + looks[2]) > 1.5 * NEAR_BITS
        assert min(look.correlation for split in looks for look in split) > 1.3 * LEAST_CORRELATION

    def test_a_test_frame_planted_as_jpeg_is_found(self, shared_data: Path, tmp_path: Path) -> None:
        test = find_source(shared_data / "camvid", split="test").open()
        (frame,) = test.read([117])
        cv2.imwrite(
            str(tmp_path / "planted.jpg"), cv2.resize(frame.frame_bgr, (640, 480)), [cv2.IMWRITE_JPEG_QUALITY, 30]
        )
        near = look_at(np.asarray(cv2.imread(str(tmp_path / "planted.jpg")), np.uint8))
        found = [f.name for f in test.read(range(108, 126)) if look_at(f.frame_bgr).distance(near) <= NEAR_BITS]
        assert frame.name in found
