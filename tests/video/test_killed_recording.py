"""kill -9 while recording: at most two seconds are lost, and everything before plays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from counted_frames import numbers

from edgeseg.video.recording.recovery import find_unfinished, recover
from edgeseg.video.recording.unfinished import unfinished_path

FPS = 30
TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Loss:
    """What one kill cost."""

    handed: int
    """Frames that the sink had been given, the one that it was at included."""
    footage_s: float
    wall_s: float
    """From when the first lost frame was handed over to the kill."""


def record_and_kill(video: Path, *, rate: float, after_frames: int = 1, after_s: float = 0.0) -> Loss:
    """Record, kill, recover, and see that what is left is the recording from its first frame on, without a gap."""
    log = video.with_suffix(".log")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, str(TESTS / "record_until_killed.py"), str(video), str(log), str(rate)], env=environment
    )
    try:
        while not log.exists() or log.read_bytes().count(b"\n") < after_frames:
            assert child.poll() is None, "the recording ended by itself"
            time.sleep(0.002)
        time.sleep(after_s)
    finally:
        child.send_signal(signal.SIGKILL)
        killed_at = time.time()
        assert child.wait() == -signal.SIGKILL
    handed = [float(line.split()[1]) for line in log.read_text().splitlines()]
    unfinished = unfinished_path(video)
    before = numbers(unfinished) if unfinished.exists() and unfinished.stat().st_size else []
    assert before == list(range(len(before))), "it plays as it was left"
    recovered = recover(unfinished) if unfinished.exists() else None
    kept = numbers(video) if recovered is not None else []
    assert kept == list(range(len(kept)))
    assert len(before) <= len(kept) <= len(handed)
    assert find_unfinished(video.parent) == []
    lost = len(handed) - len(kept)
    return Loss(len(handed), lost / FPS, killed_at - handed[len(kept)] if lost else 0.0)


def test_a_kill_costs_at_most_two_seconds(tmp_path: Path) -> None:
    """As fast as it can, and killed at the sink's frame 5 to 150: no clock decides."""
    for suffix, after in zip((".mkv", ".mp4", ".mkv"), np.random.default_rng(7).integers(5, 150, 3), strict=True):
        loss = record_and_kill(tmp_path / f"{after}{suffix}", rate=0, after_frames=int(after))
        assert loss.handed >= after
        assert loss.footage_s <= 2


@pytest.mark.slow
def test_fifty_kills_at_the_speed_of_a_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(50)
    moments = [(number, float(rng.uniform(0, 6))) for number in range(50)]

    def one(task: tuple[int, float]) -> Loss:
        number, after_s = task
        folder = tmp_path / str(number)
        folder.mkdir()
        return record_and_kill(folder / ("drive.mkv" if number % 2 else "drive.mp4"), rate=FPS, after_s=after_s)

    with ThreadPoolExecutor(4) as pool:
        losses = list(pool.map(one, moments))
    footage = [loss.footage_s for loss in losses]
    wall = [loss.wall_s for loss in losses]
    handed = [loss.handed for loss in losses]
    with capsys.disabled():
        print(
            f"\n50 kills, {min(handed)} to {max(handed)} frames handed: "
            f"lost footage median {np.median(footage):.2f} s, worst {max(footage):.2f} s; "
            f"wall time median {np.median(wall):.2f} s, worst {max(wall):.2f} s"
        )
    assert max(footage) <= 2
    assert max(wall) <= 2
