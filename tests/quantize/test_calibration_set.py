"""The choice of calibration frames: by seed, by class, scene and brightness; found again, and held to their pixels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import save_frame
from tiny_scenes import HW, Drawn, camvid_of, drive, scene

from edgeseg.errors import ConfigError, DataError, SourceError
from edgeseg.graph.frames import SCENES
from edgeseg.quantize import calibration_set
from edgeseg.quantize.calibration_set import CalibrationSet, choose_frames, open_calibration, synthetic_sources
from edgeseg.quantize.frame_source import FrameSource, find_source
from edgeseg.quantize.look import look_at
from edgeseg.quantize.stratify import Candidate, brightness_step, choose, name_scenes

NIGHT, BICYCLIST, PEDESTRIAN = (3, 11), 10, 9


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """40 frames of two sequences; two are dark, one shows a bicyclist, two a pedestrian."""
    pictures = drive(40, dark=NIGHT)
    names = list(pictures)
    pictures[names[5]] = Drawn(5, ids=(3, BICYCLIST))
    pictures[names[8]] = Drawn(8, ids=(3, PEDESTRIAN))
    pictures[names[30]] = Drawn(30, ids=(3, PEDESTRIAN))
    test = {f"town_{index:04d}": Drawn(index) for index in range(900, 903)}
    return camvid_of(tmp_path / "camvid", {"train": pictures, "test": test})


def numbers(chosen: CalibrationSet) -> set[int]:
    return {frame.index for frame in chosen.frames}


class TestChoice:
    def test_the_same_seed_chooses_the_same_and_another_others(self, dataset: Path) -> None:
        source = find_source(dataset)
        assert choose_frames(source, 10, 7) == choose_frames(source, 10, 7)
        assert numbers(choose_frames(source, 10, 7)) != numbers(choose_frames(source, 10, 8))

    @pytest.mark.parametrize("seed", range(5))
    def test_rare_classes_rare_light_and_every_scene_are_in_it(self, dataset: Path, seed: int) -> None:
        chosen = choose_frames(find_source(dataset), 10, seed)
        shown = Counter(name for frame in chosen.frames for name in frame.classes or ())
        assert shown["bicyclist"] == 1
        assert shown["pedestrian"] == 2  # an eighth of ten frames, rounded up
        assert set(NIGHT) <= numbers(chosen)
        assert {frame.scene for frame in chosen.frames} == {"town", "village"}
        assert len(chosen) == 10
        assert [frame.index for frame in chosen.frames] == sorted(numbers(chosen))

    def test_with_fewer_frames_than_classes_the_rarest_come_first(self, dataset: Path) -> None:
        assert numbers(choose_frames(find_source(dataset), 1, 0)) == {5}

    def test_the_same_picture_is_taken_once(self, tmp_path: Path) -> None:
        root = camvid_of(tmp_path, {"train": {f"a_{index}": Drawn(index % 4) for index in range(12)}})
        assert len(choose_frames(find_source(root), 12)) == 4

    def test_a_long_scene_does_not_crowd_out_a_short_one(self) -> None:
        looks = [look_at(scene(index)) for index in range(60)]
        names = ["long"] * 56 + ["short"] * 4
        candidates = [
            Candidate(index, "", look, name) for index, (look, name) in enumerate(zip(looks, names, strict=True))
        ]
        chosen = choose(candidates, 8, np.random.default_rng(0))
        assert sum(index >= 56 for index in chosen) == 4
        assert max(np.diff([index for index in chosen if index < 56])) < 40  # and the long one is spread over

    def test_a_large_source_is_looked_at_in_part(self, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calibration_set, "MOST_CANDIDATES", 8)
        chosen = numbers(choose_frames(find_source(dataset), 40))
        assert chosen == {int(index) for index in np.linspace(0, 39, 8)}

    @pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (3, -1)])
    def test_numbers_without_sense(self, dataset: Path, count: int, seed: int) -> None:
        with pytest.raises(ConfigError, match="at least 1 frame"):
            choose_frames(find_source(dataset), count, seed)

    def test_the_synthetic_drive_gives_all_weathers(self) -> None:
        chosen = choose_frames(synthetic_sources((64, 80), 5, seed=3), 5, seed=3)
        assert Counter(frame.name.split("_")[1] for frame in chosen.frames) == dict.fromkeys(SCENES, 1)

    def test_sources_of_other_classes_do_not_mix(self, dataset: Path) -> None:
        other = FrameSource(str(dataset), "camvid", "train", "road")
        with pytest.raises(ConfigError, match="has other classes than camvid train"):
            choose_frames([find_source(dataset), other], 4)


class TestScenes:
    def test_sequences_are_told_by_their_names(self) -> None:
        looks = [look_at(scene(0))] * 4
        names = ["0001TP_006690", "0001TP_006720", "Seq05VD_f00000", "aachen_000001_000019"]
        assert name_scenes(names, looks) == ["0001TP", "0001TP", "Seq05VD", "aachen_000001"]

    def test_without_sequences_a_change_of_view_begins_a_scene(self) -> None:
        first, second = scene(1), scene(2)
        looks = [look_at(frame) for frame in (first, np.roll(first, 1, axis=1), second, second)]
        assert name_scenes(["000000", "000001", "000002", "000003"], looks) == ["scene 0"] * 2 + ["scene 1"] * 2

    def test_brightness_has_four_steps(self) -> None:
        assert [brightness_step(value) for value in (30, 59.9, 60, 99, 100, 139, 140, 255)] == [0, 0, 1, 1, 2, 2, 3, 3]


class TestFoundAgain:
    def test_saved_and_read_again_it_is_the_same_and_gives_the_same_frames(self, dataset: Path, tmp_path: Path) -> None:
        chosen = choose_frames(find_source(dataset), 6, 1)
        chosen.save(tmp_path / "calibration.json")
        again = open_calibration(tmp_path / "calibration.json")
        assert again == chosen
        assert open_calibration(tmp_path) == chosen  # the folder that edgeseg calibrate writes
        for frame, entry in zip(again, chosen.frames, strict=True):
            np.testing.assert_array_equal(frame, scene(entry.index, 30 if entry.index in NIGHT else 120))

    def test_the_digest_is_of_pixels_and_not_of_places_or_packing(self, dataset: Path, tmp_path: Path) -> None:
        chosen = choose_frames(find_source(dataset), 40)
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        for number, frame in enumerate(chosen):
            cv2.imwrite(str(folder / f"{number:03d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 0])
        assert choose_frames(find_source(folder), 40).digest == chosen.digest
        assert choose_frames(find_source(folder), 39).digest != chosen.digest

    def test_a_frame_that_was_changed_is_named(self, dataset: Path) -> None:
        chosen = choose_frames(find_source(dataset), 40)
        altered = scene(12)
        altered[20, 20, 0] ^= 1
        save_frame(dataset / "train" / "village_0012.png", altered)
        with pytest.raises(DataError, match=r"village_0012 .* has other pixels"):
            list(chosen)

    def test_a_frame_that_is_gone_is_told(self, dataset: Path) -> None:
        chosen = choose_frames(find_source(dataset), 40)
        (dataset / "train" / "village_0012.png").unlink()
        with pytest.raises(DataError, match=r"village_0012\.png"):
            list(chosen)

    def test_a_shorter_list_is_told(self, dataset: Path) -> None:
        chosen = choose_frames(find_source(dataset), 40)
        lines = (dataset / "train.txt").read_text().splitlines()
        (dataset / "train.txt").write_text("\n".join(lines[:20]))
        with pytest.raises(DataError, match="has 20 frames, none at 39"):
            list(chosen)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": "x"}, "not a whole calibration set"),
            ({"frames": []}, "without a frame"),
            ({"sources": []}, "not a whole calibration set"),
            ({"schema": "edgeseg-calibration/2"}, "expected 'edgeseg-calibration/1'"),
            ({"digest": "00"}, "it was altered"),
        ],
    )
    def test_an_altered_file_is_told_in_one_line(
        self, dataset: Path, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        path = tmp_path / "calibration.json"
        choose_frames(find_source(dataset), 3).save(path)
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(DataError, match=message) as caught:
            open_calibration(path)
        assert "\n" not in str(caught.value)

    def test_a_manifest_hears_nothing_of_the_machine(self, dataset: Path) -> None:
        chosen = choose_frames(find_source(dataset), 3, 5)
        assert chosen.summary() == {"digest": chosen.digest, "frames": 3, "seed": 5, "sources": ["camvid train"]}


class TestSources:
    @pytest.fixture
    def video(self, tmp_path: Path) -> Path:
        """Two shots of ten frames."""
        path = tmp_path / "drive.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, HW[::-1])
        for index in range(20):
            writer.write(np.roll(scene(index // 10), index % 10, axis=1))
        writer.release()
        return path

    def test_a_video_is_read_in_order_and_its_shots_are_scenes(self, video: Path) -> None:
        chosen = open_calibration(video, count=8, seed=2)
        assert Counter(frame.scene for frame in chosen.frames) == {"scene 0": 4, "scene 1": 4}
        assert len(list(chosen)) == 8
        assert chosen.frames[0].classes is None

    def test_a_long_video_is_thinned_while_it_is_read(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calibration_set, "MOST_CANDIDATES", 6)
        assert numbers(open_calibration(video, count=20)) == {0, 4, 8, 12, 16}

    def test_another_video_in_its_place_is_told(self, video: Path) -> None:
        chosen = open_calibration(video, count=8)
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, HW[::-1])
        writer.write(scene(50))
        writer.release()
        with pytest.raises(DataError, match=r"has other pixels|has no frame"):
            list(chosen)

    def test_a_folder_of_images(self, tmp_path: Path) -> None:
        for index in range(5):
            save_frame(tmp_path / f"view{index}.png", scene(index))
        chosen = open_calibration(tmp_path)
        assert [frame.name for frame in chosen.frames] == [f"view{index}" for index in range(5)]

    def test_the_training_split_is_taken_and_never_another_by_itself(self, dataset: Path, tmp_path: Path) -> None:
        assert find_source(dataset).split == "train"
        only_test = camvid_of(tmp_path / "other", {"test": drive(3)})
        with pytest.raises(DataError, match=r"Name it with --split; there are: test"):
            find_source(only_test)

    def test_splits_and_classes_belong_to_datasets(self, video: Path) -> None:
        with pytest.raises(ConfigError, match="neither splits nor classes"):
            find_source(video, split="train")

    def test_a_mapping_gives_other_classes(self, dataset: Path) -> None:
        chosen = open_calibration(dataset, count=4, mapping="road")
        assert chosen.classes is not None
        assert "road" in chosen.classes
        assert len(chosen.classes) < 11
        assert len(list(chosen)) == 4

    def test_what_does_not_end_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="without end"):
            open_calibration("synthetic://drive?seed=1")

    @pytest.mark.parametrize("place", ["nowhere", "nowhere.mp4", "empty", "empty/*.png"])
    def test_nothing_there(self, place: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises((DataError, SourceError)):
            open_calibration(tmp_path / place)
