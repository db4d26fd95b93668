from __future__ import annotations

import time

import numpy as np
import pytest
from scripted_stream import ScriptedSource, brightness_segmenter, grey_frame
from timed_stream import FAILING_LEVEL, Collector, TimedFile, TimedSegmenter
from virtual_time import VirtualTime

from edgeseg.errors import ConfigError, DataError, OutputError, SourceError
from edgeseg.labels import CAMVID
from edgeseg.types import Frame
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.sinks import FrameResult
from edgeseg.video.sources.base import FrameRecord
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.stats import Ended
from edgeseg.video.timing import REAL_TIME


def frames(count: int) -> list[Frame | Exception]:
    return [grey_frame(index) for index in range(count)]


def bright_frames(count: int) -> list[Frame | Exception]:
    return [grey_frame(200)] * count


def test_every_frame_reaches_every_sink_in_order() -> None:
    sinks = [Collector(), Collector()]
    source = ScriptedSource(frames(5))
    report = run_loop(source, brightness_segmenter(), sinks)
    for sink in sinks:
        assert [result.record.index for result in sink.results] == [0, 1, 2, 3, 4]
        assert all(result.picture_bgr is None for result in sink.results)
    assert (report.captured, report.frames, report.dropped, report.failed) == (5, 5, 0, 0)
    assert report.ended is Ended.SOURCE
    assert source.closed


def test_pictures_are_painted_for_a_sink_that_wants_them() -> None:
    overlay, sink = Overlay(CAMVID), Collector(wants_picture=True)
    run_loop(ScriptedSource(frames(2)), brightness_segmenter(), [sink, Collector()], overlay=overlay)
    for result in sink.results:
        expected = overlay.paint(result.record.frame_bgr, result.segmentation.labels, result.status, pulse=result.pulse)
        assert result.picture_bgr is not None
        np.testing.assert_array_equal(result.picture_bgr, expected)
    with pytest.raises(ValueError, match="needs an overlay"):
        run_loop(ScriptedSource(frames(2)), brightness_segmenter(), [sink])


def test_stages_are_measured_on_the_source_s_clock() -> None:
    with VirtualTime() as timing:
        source = TimedFile(timing, frames(4), 0.020)
        sink = Collector(work=lambda _: timing.sleep(0.003))
        report = run_loop(source, TimedSegmenter(timing, 0.010), [sink], timing=timing)
    got = {stage: times.p50 for stage, times in report.stages.items()}
    assert got == pytest.approx({"capture": 20.0, "inference": 10.0, "output": 3.0, "queues": 0.0, "total": 33.0})
    assert report.elapsed_s == pytest.approx(4 * 0.020 + 0.013)  # decoding is the longest, the others hide behind it
    assert report.fps == pytest.approx(4 / 0.093)
    assert report.to_dict()["latency_ms"] == {"p50": 33.0, "p95": 33.0, "p99": 33.0}


def test_a_stage_that_never_ran_is_absent() -> None:
    plain = run_loop(ScriptedSource(frames(2)), brightness_segmenter())
    assert list(plain.stages) == ["capture", "inference", "queues", "total"]
    painted = run_loop(
        ScriptedSource(frames(2)), brightness_segmenter(), [Collector(wants_picture=True)], overlay=Overlay(CAMVID)
    )
    assert list(painted.stages) == ["capture", "inference", "overlay", "output", "queues", "total"]


def test_status_says_rate_and_latency_from_the_second_frame_on() -> None:
    with VirtualTime() as timing:
        sink = Collector()
        run_loop(TimedFile(timing, frames(3), 0.020), TimedSegmenter(timing, 0.010), [sink], timing=timing)
    assert [result.status for result in sink.results] == ["edgeseg", "50.0 fps   30.0 ms", "50.0 fps   30.0 ms"]


@pytest.mark.parametrize("limit", [1, 3])
def test_max_frames(limit: int) -> None:
    report = run_loop(ScriptedSource(frames(5)), brightness_segmenter(), max_frames=limit)
    assert (report.frames, report.captured, report.ended) == (limit, limit, Ended.LIMIT)


def test_a_request_to_stop_ends_it_between_frames() -> None:
    sink = Collector()
    report = run_loop(
        ScriptedSource(frames(99)), brightness_segmenter(), [sink], stopped=lambda: len(sink.results) == 4
    )
    assert sink.indices == [0, 1, 2, 3]
    assert (report.frames, report.failed, report.ended) == (4, 0, Ended.SIGNAL)
    # What had been read ahead, in each queue and in each stage, is dropped, and said to be.
    assert report.captured == 4 + report.dropped
    assert report.dropped <= 6


def test_frames_that_cannot_be_used_are_counted_and_named() -> None:
    script: list[Frame | Exception] = [grey_frame(1), DataError("torn"), grey_frame(FAILING_LEVEL), grey_frame(2)]
    sink = Collector()
    report = run_loop(ScriptedSource(script), TimedSegmenter(REAL_TIME, 0.0), [sink])
    assert sink.indices == [0, 3]
    assert (report.captured, report.frames, report.failed) == (4, 2, 2)
    assert report.notes == ("frame left out: torn", "frame left out: thirteen")
    report.raise_if_failed()


def test_of_many_failures_the_first_are_named() -> None:
    report = run_loop(ScriptedSource([grey_frame(1), *[DataError("torn")] * 50]), brightness_segmenter())
    assert report.failed == 50
    assert len(report.notes) == 5


def test_where_no_frame_works_the_first_reason_is_raised() -> None:
    with pytest.raises(DataError, match="first"):
        run_loop(ScriptedSource([DataError("first"), DataError("second")]), brightness_segmenter())
    with pytest.raises(SourceError, match="unplugged"):
        run_loop(ScriptedSource([SourceError("unplugged")]), brightness_segmenter())


def test_a_camera_that_never_gives_a_usable_frame_is_given_up() -> None:
    class Useless(ScriptedSource):
        """Gives two channels, for ever."""

        live = True

        def _take(self) -> FrameRecord | None:
            raise DataError("two channels")

    with pytest.raises(DataError, match="two channels"):
        run_loop(Useless([]), brightness_segmenter())


def test_a_source_that_breaks_later_ends_the_run_and_is_reported() -> None:
    source = ScriptedSource([grey_frame(1), grey_frame(2), SourceError("unplugged"), grey_frame(3)])
    report = run_loop(source, brightness_segmenter())
    assert (report.frames, report.captured, report.ended) == (2, 2, Ended.BROKEN)
    assert source.closed
    with pytest.raises(SourceError, match="unplugged"):
        report.raise_if_failed()


def test_a_sink_that_cannot_write_ends_the_run() -> None:
    def full(_: FrameResult) -> None:
        raise OutputError("no space")

    source = ScriptedSource(frames(3))
    with pytest.raises(OutputError, match="no space"):
        run_loop(source, brightness_segmenter(), [Collector(work=full)])
    assert source.closed


def test_the_time_that_after_frame_takes_is_not_counted_as_work() -> None:
    with VirtualTime() as timing:

        def linger(result: FrameResult) -> bool:
            timing.sleep(60.0)
            return result.record.index < 2

        source, segmenter = TimedFile(timing, frames(9), 0.0), TimedSegmenter(timing, 0.010)
        report = run_loop(source, segmenter, after_frame=linger, timing=timing)
    assert (report.frames, report.ended) == (3, Ended.KEY)
    assert report.elapsed_s == pytest.approx(0.010)  # the second and the third were made meanwhile
    assert report.stages["total"].p99 == pytest.approx(10.0)
    assert report.captured == report.frames + report.dropped


def test_an_empty_source_is_a_report_of_nothing() -> None:
    report = run_loop(ScriptedSource([]), brightness_segmenter())
    assert (report.captured, report.fps, dict(report.stages)) == (0, 0.0, {})
    assert report.to_dict()["latency_ms"] is None


class Camera(ScriptedSource):
    """Delivers a frame every millisecond."""

    def _take(self) -> FrameRecord | None:
        time.sleep(0.001)
        return super()._take()


class SlowSegmenter(TimedSegmenter):
    """Takes three milliseconds of real time."""

    def __init__(self) -> None:
        super().__init__(REAL_TIME, 0.003)


def test_a_live_source_faster_than_the_loop_loses_frames_but_no_count() -> None:
    sink = Collector()
    report = run_loop(NewestFrame(Camera(bright_frames(100))), SlowSegmenter(), [sink])
    assert sink.indices == sorted(set(sink.indices))
    assert sink.indices[-1] == 99  # the newest frame is never the one that is lost
    assert report.dropped > 0
    assert report.captured == 100 == report.frames + report.dropped + report.failed


def test_a_live_source_that_is_stopped_early_balances_too() -> None:
    report = run_loop(NewestFrame(Camera(bright_frames(5000))), SlowSegmenter(), max_frames=3)
    assert (report.frames, report.ended) == (3, Ended.LIMIT)
    assert report.captured == report.frames + report.dropped


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_flight": 0}, "in_flight=0"),
        ({"deadline_ms": 0.0}, "deadline_ms"),
        ({"stale_after_s": -1.0}, "stale_after_s"),
    ],
)
def test_settings_of_the_loop_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoopConfig(**settings)  # type: ignore[arg-type]
