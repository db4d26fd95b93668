"""The loop's figures, measured on a clock that jumps: exact, and the same on a loaded machine."""

from __future__ import annotations

import numpy as np
import pytest
from timed_stream import Collector, TimedCamera, TimedFile, TimedSegmenter, grey_frames
from virtual_time import VirtualTime

from edgeseg.labels import CAMVID
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Segmentation
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.stats import Ended, RunReport

CAMERA_FPS, SECONDS = 60, 60
INTERVAL_S = 1 / CAMERA_FPS


def overload(backend_fps: float, *, in_flight: int = 1) -> tuple[RunReport, Collector, VirtualTime]:
    """A minute of a camera with a backend slower than it; overlay and output take no time."""
    with VirtualTime() as timing:
        source = NewestFrame(TimedCamera(timing, CAMERA_FPS, CAMERA_FPS * SECONDS), timing)
        sink = Collector(clock=timing.clock)
        config = LoopConfig(in_flight=in_flight, deadline_ms=1e3 * (1 / backend_fps + INTERVAL_S) + 0.001)
        report = run_loop(source, TimedSegmenter(timing, 1 / backend_fps), [sink], config=config, timing=timing)
        assert timing.hanging == []
    return report, sink, timing


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("backend_fps", [5, 4.93])  # the second one's phase against the camera moves
def test_overload_for_a_minute(backend_fps: float, in_flight: int) -> None:
    report, sink, timing = overload(backend_fps, in_flight=in_flight)
    limit_ms = 1e3 * (1 / backend_fps + INTERVAL_S)
    assert report.stages["total"].p99 <= limit_ms + 1e-6
    assert report.deadline is not None
    assert report.deadline.misses <= 1  # only the very last, which no newer one replaced, may have waited longer
    assert report.queue_peak <= 1
    assert report.captured == CAMERA_FPS * SECONDS == report.frames + report.dropped + report.failed
    assert report.failed == 0
    assert report.frames == pytest.approx(SECONDS * backend_fps, abs=2)
    assert sink.indices == sorted(set(sink.indices))
    assert sink.indices[-1] == report.captured - 1  # the newest frame is never the one that is lost
    assert report.ended is Ended.SOURCE
    # Nothing is polled without rest: a few hand-overs for each captured frame.
    assert timing.switches < 10 * report.captured


def test_the_same_run_is_the_same_each_time() -> None:
    (first, first_sink, _), (second, second_sink, _) = overload(4.93), overload(4.93)
    assert first == second
    assert first_sink.times_s == second_sink.times_s


def test_a_slow_output_makes_no_frame_older_than_the_stages_are_long() -> None:
    # The model waits until its result has a place, and only then takes the newest frame.
    output_s, inference_s = 0.050, 0.010
    with VirtualTime() as timing:
        source = NewestFrame(TimedCamera(timing, CAMERA_FPS, 1200), timing)
        sink = Collector(work=lambda _: timing.sleep(output_s))
        report = run_loop(source, TimedSegmenter(timing, inference_s), [sink], timing=timing)
    assert report.stages["total"].p99 <= 1e3 * (INTERVAL_S + inference_s + 4 * output_s)
    assert report.fps == pytest.approx(1 / output_s, rel=0.02)
    assert report.queue_peak == 1


@pytest.mark.parametrize("inference_ms", [2.0, 20.0, 33.0])
def test_the_rest_of_the_loop_hides_behind_the_backend(inference_ms: float) -> None:
    frames, seconds = 200, inference_ms / 1e3
    with VirtualTime() as timing:

        def analyse(record: FrameRecord, segmentation: Segmentation) -> Scene:
            timing.sleep(seconds / 2)
            return Scene({})

        session = FakeSession(np.zeros((8, 8), np.uint8), delay_s=seconds, sleep=timing.sleep)
        report = run_loop(
            TimedFile(timing, grey_frames(frames), seconds / 2),
            Segmenter.from_session(session, CAMVID, clock=timing.clock),
            [Collector(work=lambda _: timing.sleep(seconds / 2))],
            analyser=analyse,
            timing=timing,
        )
    assert report.frames == frames
    assert report.fps >= 0.95 / seconds
    got = {stage: times.p50 for stage, times in report.stages.items()}
    assert [got[stage] for stage in ("capture", "analysis", "output")] == pytest.approx([inference_ms / 2] * 3)
    assert got["inference"] == pytest.approx(inference_ms)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_file_is_read_ahead_by_the_depth_and_every_frame_comes(in_flight: int) -> None:
    with VirtualTime() as timing:
        source = TimedFile(timing, grey_frames(50), 0.001)
        ahead: list[int] = []
        sink = Collector(work=lambda result: ahead.append(source.captured - result.record.index))
        segmenter, config = TimedSegmenter(timing, 0.02), LoopConfig(in_flight=in_flight)
        report = run_loop(source, segmenter, [sink], config=config, timing=timing)
    assert sink.indices == list(range(50))
    assert (report.captured, report.dropped) == (50, 0)
    assert report.queue_peak == in_flight
    assert max(ahead) == in_flight + 1  # this one, and those that wait for the model
    assert report.elapsed_s == pytest.approx(50 * 0.02, rel=0.01)


def test_uneven_stages_gain_from_a_deeper_queue() -> None:
    def run(in_flight: int) -> RunReport:
        with VirtualTime() as timing:
            # Three quick frames and a slow one, in turn; output is even, and as long on average.
            segmenter = TimedSegmenter(timing, lambda call: 0.031 if call % 4 == 3 else 0.003)
            sink = Collector(work=lambda _: timing.sleep(0.010))
            source, config = TimedFile(timing, grey_frames(200), 0.0), LoopConfig(in_flight=in_flight)
            return run_loop(source, segmenter, [sink], config=config, timing=timing)

    assert run(4).fps > 1.1 * run(1).fps


def test_deadline_misses_are_counted() -> None:
    with VirtualTime() as timing:
        segmenter = TimedSegmenter(timing, lambda call: 0.05 if call % 10 == 9 else 0.01)
        source = NewestFrame(TimedCamera(timing, 15, 100), timing)
        sink = Collector()
        report = run_loop(source, segmenter, [sink], config=LoopConfig(deadline_ms=33), timing=timing)
    assert report.deadline is not None
    assert (report.frames, report.deadline.misses) == (100, 10)
    assert report.to_dict()["deadline"] == {"ms": 33, "misses": 10, "share": 0.1}
    # A picture knows of those before it: the tenth frame's own miss is told with the eleventh.
    assert [result.pulse.deadline_misses for result in sink.results][8:12] == [0, 0, 1, 1]


def test_the_pulse_of_each_frame() -> None:
    with VirtualTime() as timing:
        sink = Collector()
        source = NewestFrame(TimedCamera(timing, 10, 130), timing)
        run_loop(source, TimedSegmenter(timing, 0.02), [sink], timing=timing, degraded="no GPU")
    first, last = sink.results[0].pulse, sink.results[-1].pulse
    assert first.fps == 0.0
    assert first.recent_age_ms == pytest.approx((20.0,))
    assert last.fps == pytest.approx(10.0)
    assert last.age_ms == pytest.approx(20.0)
    assert last.stages_ms == {"capture": pytest.approx(0.0), "inference": pytest.approx(20.0)}
    assert len(last.recent_age_ms) == 120
    assert (last.captured, last.processed, last.dropped, last.failed) == (130, 129, 0, 0)
    assert (last.deadline_ms, last.degraded) == (None, "no GPU")
    assert sink.results[1].status == "10.0 fps   20.0 ms"
