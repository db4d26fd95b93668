"""However a run ends, its books are right, its errors are seen, and nothing of it stays behind that could be ended."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pytest
from scripted_stream import ScriptedSource, brightness_segmenter
from timed_stream import PICTURE, Collector, Texts, TimedCamera, TimedFile, TimedSegmenter, grey_frames
from virtual_time import VirtualTime

from edgeseg.errors import OutputError
from edgeseg.labels import CAMVID
from edgeseg.types import Frame, Segmentation
from edgeseg.video.controls import Controls
from edgeseg.video.health.base import Health
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.results import FrameResult
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.stats import Ended

_T = TypeVar("_T")

GONE_WITHIN_S = 2.0


def balanced(captured: int, frames: int, dropped: int, failed: int) -> bool:
    return captured == frames + dropped + failed


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("at_s", [0.011, 0.5, 0.777, 1.303])
def test_a_run_that_is_stopped_in_the_middle_of_everything_balances(live: bool, at_s: float) -> None:
    with VirtualTime() as timing:
        file = TimedFile(timing, grey_frames(1000), 0.004)
        source: Source = NewestFrame(TimedCamera(timing, 60, 1000), timing) if live else file
        sink = Collector(work=lambda _: timing.sleep(0.007))
        report = run_loop(
            source, TimedSegmenter(timing, 0.0051), [sink], stopped=lambda: timing.now >= at_s, timing=timing
        )
        assert timing.hanging == []
    assert balanced(report.captured, report.frames, report.dropped, report.failed)
    assert report.frames == len(sink.results)
    assert report.captured == source.captured
    assert timing.now <= at_s + 0.15
    assert (report.ended, report.left_behind) == (Ended.SIGNAL, ())


@pytest.mark.parametrize("live", [False, True])
def test_a_model_that_hangs_is_left_behind(live: bool) -> None:
    with VirtualTime() as timing:
        file = TimedFile(timing, grey_frames(1000), 0.01)
        source: Source = NewestFrame(TimedCamera(timing, 60, 100_000), timing) if live else file
        segmenter = TimedSegmenter(timing, lambda call: 0.02 if call < 20 else math.inf)
        report = run_loop(source, segmenter, [Collector()], stopped=lambda: timing.now >= 3.0, timing=timing)
        assert timing.now <= 3.0 + GONE_WITHIN_S
        assert timing.hanging == ["edgeseg-inference"]
    assert report.left_behind == ("inference",)
    assert report.frames == 20
    assert balanced(report.captured, report.frames, report.dropped, report.failed)
    assert report.dropped >= 1  # the one in the model
    assert file.closed == (0 if live else 1)


def test_a_camera_that_hangs_is_left_behind() -> None:
    with VirtualTime() as timing:
        source = NewestFrame(TimedCamera(timing, 30, 100, hangs_after=9), timing)
        report = run_loop(source, TimedSegmenter(timing, 0.01), stopped=lambda: timing.now >= 3.0, timing=timing)
        assert timing.now <= 3.0 + GONE_WITHIN_S
        assert timing.hanging == ["edgeseg-capture"]
    assert (report.captured, report.frames) == (9, 9)


def test_a_file_that_hangs_is_closed_by_who_reads_it_and_by_nobody_else() -> None:
    with VirtualTime() as timing:
        source = TimedFile(timing, grey_frames(100), 0.01, hangs_after=9)
        report = run_loop(source, TimedSegmenter(timing, 0.01), stopped=lambda: timing.now >= 1.0, timing=timing)
        assert timing.now <= 1.0 + GONE_WITHIN_S
        assert report.left_behind == ("capture",)
        assert source.closed == 0  # a decoder that is freed while it decodes takes the process with it
    assert source.closed == 1
    assert (report.captured, report.frames) == (9, 9)


class Part(Generic[_T]):
    """A part of the loop that gives `value` for each frame, and is defective from the fourth on if `broken`."""

    def __init__(self, value: _T, broken: bool) -> None:
        self._value = value
        self._broken = broken
        self._calls = 0

    def __call__(self, *_: object, **__: object) -> _T:
        self._calls += 1
        if self._broken and self._calls > 3:
            raise ZeroDivisionError("a defect")
        return self._value


@pytest.mark.parametrize(
    "stage", ["capture", "inference", "smoother", "analyser", "monitor", "overlay", "sink", "after_frame"]
)
@pytest.mark.parametrize("live", [False, True])
def test_a_defect_in_any_thread_is_raised_in_the_caller_s(stage: str, live: bool) -> None:
    class Segmenter(TimedSegmenter):
        def __call__(self, frame_bgr: Frame) -> Segmentation:
            inference()
            return super().__call__(frame_bgr)

    with VirtualTime() as timing:
        script = grey_frames(1000)
        if stage == "capture":
            script[3] = ZeroDivisionError("a defect")
        file = TimedFile(timing, script, 0.01)
        inference = Part(None, stage == "inference")
        sink = Collector(wants_picture=True, work=Part(None, stage == "sink"))
        overlay = Texts()
        overlay.paint = Part(PICTURE, stage == "overlay")  # type: ignore[method-assign]
        smooth = Segmentation(np.zeros((8, 8), np.uint8), 1.0)
        with pytest.raises(ZeroDivisionError, match="a defect"):
            run_loop(
                NewestFrame(file, timing) if live else file,
                Segmenter(timing, 0.002),
                [sink],
                overlay=overlay,
                smoother=Part(smooth, stage == "smoother"),
                analyser=Part(Scene({}), stage == "analyser"),
                monitor=Part(Health(), stage == "monitor"),
                after_frame=Part(True, stage == "after_frame"),
                timing=timing,
            )
        assert timing.hanging == []
    assert sink.indices[:3] == [0, 1, 2]  # what was ahead of it still came out
    assert file.closed >= 1


def test_a_sink_that_cannot_write_ends_the_run_at_once() -> None:
    def full(_: FrameResult) -> None:
        raise OutputError("no space")

    before = threading.active_count()
    source = NewestFrame(ScriptedSource(grey_frames(10_000)))
    with pytest.raises(OutputError, match="no space"):
        run_loop(source, brightness_segmenter(), [Collector(work=full)])
    assert threading.active_count() == before
    assert source.ended


def test_faults_of_the_camera_are_summed_up() -> None:
    def monitor(record: FrameRecord) -> Health:
        return Health(("frozen", "blurred")[: record.index % 3])

    report = run_loop(ScriptedSource(grey_frames(9)), brightness_segmenter(), monitor=monitor)
    assert report.camera_faults == {"frozen": 6, "blurred": 3}
    assert report.to_dict()["camera_faults"] == {"frozen": 6, "blurred": 3}


def test_a_snapshot_is_saved_as_soon_as_there_is_a_picture(tmp_path: Path) -> None:
    controls = Controls(CAMVID)
    controls.ask_snapshot()
    overlay, screen = Texts(), Collector(wants_picture=True)
    report = run_loop(
        ScriptedSource(grey_frames(2)),
        brightness_segmenter(),
        [screen],
        overlay=overlay,
        controls=controls,
        config=LoopConfig(snapshots=tmp_path),
    )
    assert report.notes == (f"saved {tmp_path / 'edgeseg-000000.png'}",)
    assert [path.name for path in tmp_path.iterdir()] == ["edgeseg-000000.png"]


def test_a_snapshot_that_cannot_be_saved_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    controls = Controls(CAMVID)
    controls.ask_snapshot()
    config = LoopConfig(snapshots=tmp_path / "file")
    source, sinks = ScriptedSource(grey_frames(2)), [Collector(wants_picture=True)]
    report = run_loop(source, brightness_segmenter(), sinks, overlay=Texts(), controls=controls, config=config)
    assert report.frames == 2
    assert len(report.notes) == 1
    assert str(tmp_path / "file") in report.notes[0]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files as Linux lists them")
def test_many_runs_leave_no_thread_and_no_file_behind() -> None:
    def once(live: bool, count: int) -> None:
        inner = ScriptedSource(grey_frames(count))
        report = run_loop(
            NewestFrame(inner) if live else inner,
            brightness_segmenter(),
            [Collector(wants_picture=True)],
            overlay=Texts(),
        )
        assert balanced(report.captured, report.frames, report.dropped, report.failed)

    once(live=False, count=5)
    before = threading.active_count(), open_files()
    for number in range(60):
        once(live=number % 2 == 0, count=5)
    once(live=False, count=1500)
    assert (threading.active_count(), open_files()) == before
