"""Every fault of the injector is found within five frames, and what only looks like a fault is none.

Small and fast; at the end, marked slow and real_data: 100 clips of each fault, 10,000 clean frames, the real clips.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.errors import ConfigError
from edgeseg.types import Frame
from edgeseg.video.health import DETECTORS, FAULTS, Health, HealthMonitor
from edgeseg.video.health.inject import VARIANTS, inject, make_fault
from edgeseg.video.sources import open_source
from edgeseg.video.sources.base import FrameRecord

BEGIN = 18
EVERY_VARIANT = [(kind, variant) for kind, variants in VARIANTS.items() for variant in variants]
SCENES = {"day": 31, "night": 32, "rain": 33, "fog": 34}
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "camera_health.py"


@cache
def drive(scene: str, frames: int = 50) -> tuple[Frame, ...]:
    source = SyntheticDrive(SCENES[scene], scene, (180, 320))
    return tuple(source.frame(300 + k)[0] for k in range(frames))


def record(index: int, frame: Frame, media_s: float | None = None) -> FrameRecord:
    return FrameRecord(index, frame, index / 30, f"{index:06d}", media_s)


def watch(records: Iterable[FrameRecord]) -> list[Health]:
    monitor = HealthMonitor(30.0)
    return [monitor(one) for one in records]


def faults_of(frames: Sequence[Frame]) -> set[str]:
    return {fault for health in watch(record(k, frame) for k, frame in enumerate(frames)) for fault in health.faults}


# ------------------------------------------------------------------------------------------------ what is found


def test_there_is_a_detector_and_an_injector_for_every_fault() -> None:
    assert set(DETECTORS) == set(VARIANTS) == set(FAULTS)


@pytest.mark.parametrize(("kind", "variant"), EVERY_VARIANT)
def test_every_variant_is_found_within_five_frames(kind: str, variant: str) -> None:
    fault = make_fault(kind, 0.5, np.random.default_rng(3), variant)
    records = [record(k, frame, k / 30) for k, frame in enumerate(drive("day")[: BEGIN + 12])]
    states = watch(fault(one, one.index - BEGIN) for one in records)
    assert all(health.ok for health in states[:BEGIN])
    # Frames of a muddled buffer may by chance be in order for a while.
    within = 12 if variant == "muddled" else 5
    assert any(kind in health.faults for health in states[BEGIN : BEGIN + within])


@pytest.mark.parametrize("kind", ["blackout", "whiteout", "blurred"])
def test_what_one_picture_shows_is_found_from_the_first_frame(kind: str) -> None:
    fault = make_fault(kind, 0.5, np.random.default_rng(1))
    states = watch(fault(record(k, frame), k) for k, frame in enumerate(drive("day")[:5]))
    assert kind in states[-1].faults


def test_a_fault_is_forgotten_when_it_has_gone_and_does_not_flicker_meanwhile() -> None:
    for kind in FAULTS:
        fault = make_fault(kind, 0.7, np.random.default_rng(5), next(iter(VARIANTS[kind])))
        frames = drive("day")
        records = [record(k, frame) for k, frame in enumerate(frames)]
        states = watch(fault(one, one.index - BEGIN) if one.index < BEGIN + 12 else one for one in records)
        reported = [kind in health.faults for health in states]
        changes = int(np.abs(np.diff(np.array(reported, np.int8))).sum())
        assert changes == 2, f"{kind} came and went {changes} times: {reported}"


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_freeze_and_red_light_are_told_apart_behind_a_video_encoder(sigma: float, tmp_path: Path) -> None:
    scene, rng = drive("day")[0], np.random.default_rng(2)
    standing = [np.clip(scene + rng.normal(0, sigma, scene.shape).round(), 0, 255).astype(np.uint8) for _ in range(40)]
    assert faults_of(_coded(standing, tmp_path / "standing.mp4")) == set()
    hanging = _coded([*drive("day")[:20], *([drive("day")[20]] * 20)], tmp_path / "hanging.mp4")
    states = watch(record(k, frame) for k, frame in enumerate(hanging))
    assert {fault for health in states[:20] for fault in health.faults} == set()
    assert states[-1].faults == ("frozen",), "key frames, which change the picture a little, do not end it"


def _coded(frames: Sequence[Frame], path: Path) -> list[Frame]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, frames[0].shape[1::-1])
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG-4")
    for frame in frames:
        writer.write(frame)
    writer.release()
    with open_source(path) as source:
        return [one.frame_bgr for one in source]


# ------------------------------------------------------------------------------------------------ what is no fault


@pytest.mark.parametrize("scene", SCENES)
def test_clean_drives_have_no_fault(scene: str) -> None:
    assert faults_of(drive(scene)) == set()


def test_a_grey_camera_is_not_a_fault_but_colour_that_is_lost_is() -> None:
    grey = [np.asarray(cv2.merge([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)] * 3), np.uint8) for frame in drive("day")]
    assert faults_of(grey) == set()
    assert faults_of([*drive("day")[:10], *grey[10:20]]) == {"wrong_colours"}


def test_a_camera_that_has_gone_over_to_infrared_is_accepted_after_a_minute() -> None:
    grey = [np.asarray(cv2.merge([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)] * 3), np.uint8) for frame in drive("day")]
    monitor = HealthMonitor(fps=1.0)
    states = [monitor(record(k, frame)) for k, frame in enumerate([*drive("day")[:10], *(grey * 2)[:75]])]
    assert "wrong_colours" in states[40].faults
    assert states[-1].ok


@pytest.mark.parametrize("scene", SCENES)
def test_standing_still_with_the_sensors_noise_is_no_fault(scene: str) -> None:
    rng, picture = np.random.default_rng(7), drive(scene)[0]
    noise = rng.normal(0, 2, (4, *picture.shape)).round()
    frames = [np.clip(picture + np.roll(noise[k % 4], 7 * k, (0, 1)), 0, 255).astype(np.uint8) for k in range(40)]
    assert faults_of(frames) == set()


@pytest.mark.parametrize("moving", [True, False])
def test_wipers_are_no_fault(moving: bool) -> None:
    """A blade up and down again: on the way back it is where it was, as in a film that runs backwards."""
    frames, rng = [], np.random.default_rng(8)
    for k, frame in enumerate(drive("rain")):
        seen = frame if moving else drive("rain")[0]
        picture = np.clip(seen + rng.normal(0, 2, seen.shape), 0, 255).astype(np.uint8)
        angle = np.pi * abs((k % 24) / 12 - 1)
        tip = round(160 - 190 * np.cos(angle)), round(190 - 170 * np.sin(angle))
        cv2.line(picture, (160, 190), tip, (12, 12, 12), 9, cv2.LINE_AA)
        frames.append(picture)
    assert faults_of(frames) == set()


@pytest.mark.parametrize("gains", [(1.0, 0.55), (0.6, 1.25), (1.0, 0.3)], ids=["darker", "lighter", "tunnel"])
def test_steps_and_fades_of_exposure_are_no_fault(gains: tuple[float, float]) -> None:
    before, after = gains
    for last in (20, 32):  # a step, a fade over twelve frames
        course = np.interp(np.arange(50), (20, last + 1), (before, after))
        frames = [
            np.clip(frame * gain, 0, 255).astype(np.uint8) for frame, gain in zip(drive("day"), course, strict=True)
        ]
        assert faults_of(frames) == set()


def test_a_cut_to_another_scene_is_no_fault() -> None:
    assert faults_of([*drive("day")[:20], *drive("fog")[:20], *drive("rain")[:20]]) == set()


def test_time_stamps_that_start_again_are_no_fault() -> None:
    """A looped recording, or a stream whose sender was started anew."""
    records = [record(k, frame, (k % 20) / 30) for k, frame in enumerate(drive("day"))]
    assert {fault for health in watch(records) for fault in health.faults} == set()


def test_the_monitor_is_deterministic() -> None:
    fault = make_fault("blurred", 0.2, np.random.default_rng(1))
    records = [fault(record(k, frame), k - 20) for k, frame in enumerate(drive("night"))]
    assert watch(records) == watch(records)


# ------------------------------------------------------------------------------------------------ the injector


def test_an_injected_source_is_whole_until_the_fault_begins_and_can_be_had_again() -> None:
    uri = "synthetic://drive?seed=31&size=120x160&frames=12"
    with open_source(uri) as clean, open_source(f"{uri}&fault=blackout&fault_at=8") as faulty:
        pairs = list(zip(clean, faulty, strict=True))
        repeated = [one.frame_bgr for one in faulty.again()]
    assert [np.array_equal(a.frame_bgr, b.frame_bgr) for a, b in pairs] == [True] * 8 + [False] * 4
    assert (faulty.captured, faulty.ended, faulty.fps) == (12, True, 30.0)
    assert all(np.array_equal(a.frame_bgr, b) for (_, a), b in zip(pairs, repeated, strict=True))


def test_injecting_leaves_the_sources_own_frames_alone() -> None:
    for kind, variant in EVERY_VARIANT:
        fault = make_fault(kind, 1.0, np.random.default_rng(0), variant)
        for k, frame in enumerate(drive("day")[:4]):
            shown = frame.copy()
            broken = fault(record(k, shown), k - 2)
            np.testing.assert_array_equal(shown, frame)
            assert broken.frame_bgr.shape == frame.shape
            assert broken.frame_bgr.dtype == np.uint8


def test_what_is_not_known_is_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="'foggy' is unknown; choose one of: blackout"):
        open_source("synthetic://drive?fault=foggy")
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        inject("blurred", open_source("synthetic://drive"), 3, 1.5, rng)
    with pytest.raises(ConfigError, match="no variant 'tape'"):
        make_fault("occluded", 0.5, rng, "tape")


def test_stamps_that_run_back_need_no_stamps_of_the_source() -> None:
    fault = make_fault("reversed_time", 0.5, np.random.default_rng(0), "stamps backwards")
    stamps = [fault(replace(record(k, drive("day")[k]), media_s=None), k - 3).media_s for k in range(6)]
    assert [stamp is None for stamp in stamps[:3]] == [True] * 3
    assert stamps[3:] == sorted(stamps[3:], key=lambda stamp: -(stamp or 0.0))


# ------------------------------------------------------------------------------------------------ the whole proof


@pytest.mark.real_data
def test_real_clips_have_no_fault(shared_data: Path) -> None:
    clips = sorted((shared_data / "videos").glob("*.mp4"))
    assert clips
    for clip in clips:
        with open_source(clip) as source:
            assert {fault for health in watch(source) for fault in health.faults} == set(), clip.name


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_real_street_photographs_have_no_fault(shared_data: Path, split: str) -> None:
    """One frame in a second: far harder than video, since everything moves a long way."""
    photos = sorted((shared_data / "camvid" / split).glob("*.jpg"))
    assert len(photos) > 100
    with open_source(photos[0].parent) as source:
        alarms = sum(not health.ok for health in watch(source))
    assert alarms <= 0.001 * len(photos)


@pytest.mark.slow
def test_a_hundred_clips_of_every_fault_and_ten_thousand_clean_frames(tmp_path: Path) -> None:
    written = tmp_path / "health.json"
    subprocess.run([sys.executable, BENCHMARK, "--clips", "100", "--json", written], check=True, capture_output=True)
    measured = json.loads(written.read_text())
    assert measured["clips"] == 100
    assert measured["found"]["blackout"] == measured["found"]["frozen"] == 1.0
    assert all(rate >= 0.95 for rate in measured["found"].values()), measured["found"]
    assert measured["clean_frames"] == 10_000
    assert sum(measured["false_alarms"].values()) <= 10, measured["false_alarms"]
