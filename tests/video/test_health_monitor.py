"""HealthMonitor on scripted pictures: what each detector calls a fault, and what it must not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from edgeseg.types import Frame
from edgeseg.video.health import HealthMonitor
from edgeseg.video.sources.base import FrameRecord

SIZE_HW = (90, 160)


def reports(frames: Iterable[Frame], fps: float | None = None) -> list[tuple[str, ...]]:
    """The faults at each frame."""
    monitor = HealthMonitor(fps)
    return [monitor(FrameRecord(k, frame, k / 30, f"{k:06d}")).faults for k, frame in enumerate(frames)]


def first(faults: list[tuple[str, ...]], fault: str, since: int = 0) -> int | None:
    """How many frames after `since` a fault is first reported, 1 for the frame `since` itself."""
    return next((k - since + 1 for k, found in enumerate(faults) if k >= since and fault in found), None)


def noisy(level: float, sigma: float, seed: int = 0) -> Iterator[Frame]:
    """An even scene under sensor noise, without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield np.clip(rng.normal(level, sigma, (*SIZE_HW, 3)), 0, 255).astype(np.uint8)


def moving(count: int, seed: int = 0, noise: float = 2.0) -> list[Frame]:
    """A textured scene that glides past, with sensor noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 220, (SIZE_HW[0] // 6, (SIZE_HW[1] + 2 * count) // 6 + 1, 3))
    scene = blocks.repeat(6, 0).repeat(6, 1)[:, : SIZE_HW[1] + 2 * count]
    views = [scene[:, 2 * k : 2 * k + SIZE_HW[1]] for k in range(count)]
    return [np.clip(view + rng.normal(0, noise, view.shape), 0, 255).astype(np.uint8) for view in views]


def test_a_healthy_stream_has_no_fault() -> None:
    assert set(reports(moving(60))) == {()}


@pytest.mark.parametrize(("level", "sigma"), [(0, 0), (16, 0), (12, 6), (128, 0), (90, 1)])
def test_blackout_is_found_within_five_frames_also_from_the_start(level: float, sigma: float) -> None:
    dark = noisy(level, sigma)
    black = [next(dark) for _ in range(20)]
    for clean in ([], moving(20)):
        faults = reports([*clean, *black])
        found = first(faults, "blackout", len(clean))
        assert found is not None
        assert found <= 5
        assert faults[-1] == ("blackout",), "a black picture is not called frozen, blurred or covered as well"


def test_a_flash_of_two_black_frames_is_no_fault() -> None:
    frames = moving(20)
    frames[8:10] = [np.zeros_like(frames[0])] * 2
    assert set(reports(frames)) == {()}


def test_a_frozen_picture_is_found_within_five_frames_and_forgotten_when_it_moves() -> None:
    frames = moving(60)
    frames[20:40] = [frames[19]] * 20
    faults = reports(frames)
    found = first(faults, "frozen", 20)
    assert found is not None
    assert found <= 5
    assert set(faults[:20]) == {()}
    assert faults[39] == ("frozen",)
    assert set(faults[50:]) == {()}


def test_pictures_repeated_three_times_by_a_slow_camera_are_not_frozen() -> None:
    assert set(reports(frame for frame in moving(20) for _ in range(4))) == {()}


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_standing_at_a_red_light_is_not_frozen(sigma: float) -> None:
    scene, rng = moving(1, noise=0)[0], np.random.default_rng(1)
    frames = [np.clip(scene + rng.normal(0, sigma, scene.shape).round(), 0, 255).astype(np.uint8) for _ in range(60)]
    assert set(reports(frames)) == {()}


def test_another_frame_size_begins_anew() -> None:
    small = moving(10)
    frames = [*([small[0]] * 10), *([small[0].repeat(2, 0).repeat(2, 1)] * 4)]
    faults = reports(frames)
    assert faults[9] == ("frozen",)
    assert set(faults[10:14]) == {()}


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 700), (700, 3), (64, 64), (1080, 1920)])
def test_frames_of_any_size_are_taken(size_hw: tuple[int, int]) -> None:
    faults = reports([np.zeros((*size_hw, 3), np.uint8)] * 4)
    assert faults[-1] == ("blackout",)


def test_the_monitor_keeps_no_hold_of_the_frame() -> None:
    frame = moving(1)[0]
    shared = np.zeros_like(frame)
    monitor, rng = HealthMonitor(), np.random.default_rng(0)
    for k in range(10):  # a source that reuses its buffer: each picture is another one
        shared[:] = np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
        assert monitor(FrameRecord(k, shared, k / 30, str(k))).ok
