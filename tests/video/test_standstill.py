"""A picture that stands still must not look alive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted_stream import grey_frame
from timed_stream import PICTURE, Collector, Texts, TimedCamera, TimedFile, TimedSegmenter, grey_frames
from virtual_time import VirtualTime

from edgeseg.labels import CAMVID
from edgeseg.types import Frame
from edgeseg.video.controls import Controls
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.sources.base import Source, SourceState
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.stats import Ended, RunReport
from edgeseg.video.timing import Timing


def watch(
    timing: VirtualTime,
    source: Source,
    segmenter: TimedSegmenter,
    seconds: float,
    *,
    controls: Controls | None = None,
    config: LoopConfig | None = None,
) -> tuple[RunReport, Collector, Texts]:
    """Run for so many seconds of virtual time, with a screen."""
    screen, overlay = Collector(wants_picture=True, clock=timing.clock), Texts()
    report = run_loop(
        source,
        segmenter,
        [screen],
        overlay=overlay,
        controls=controls,
        config=config,
        stopped=lambda: timing.now >= seconds,
        timing=timing,
    )
    return report, screen, overlay


def hanging_camera(timing: Timing) -> tuple[Source, TimedSegmenter]:
    return NewestFrame(TimedCamera(timing, 30, 90, hangs_after=60), timing), TimedSegmenter(timing, 0.02)


def hanging_model(timing: Timing) -> tuple[Source, TimedSegmenter]:
    segmenter = TimedSegmenter(timing, lambda call: 0.02 if call < 60 else float("inf"))
    return NewestFrame(TimedCamera(timing, 30, 100_000), timing), segmenter


@pytest.mark.parametrize("make", [hanging_camera, hanging_model])
def test_stale_within_half_a_second_of_the_last_frame_s_capture(
    make: Callable[[Timing], tuple[Source, TimedSegmenter]],
) -> None:
    with VirtualTime() as timing:
        report, screen, overlay = watch(timing, *make(timing), seconds=4.0)
    last = screen.results[-1].record
    assert last.index == 59
    assert 0.3 < screen.dead_s[0] - last.timestamp_s <= 0.5
    # The seconds are counted up, often enough that nobody takes the picture for a live one, until the end.
    gaps = [after - before for before, after in zip(screen.dead_s, screen.dead_s[1:], strict=False)]
    assert max(gaps) <= 0.25
    assert screen.dead_s[-1] > 3.7
    assert overlay.texts[0] == "STALE: this picture is 0.4 s old"
    assert overlay.texts[5] == "STALE: this picture is 1.4 s old"
    assert all(picture is PICTURE for picture in overlay.pictures)
    assert report.ended is Ended.SIGNAL
    assert report.captured == report.frames + report.dropped


@pytest.mark.parametrize(("camera_fps", "inference_s"), [(60, 0.2), (30, 0.01), (1, 0.02), (25, 1.5)])
def test_slow_backends_and_slow_cameras_are_not_stale(camera_fps: float, inference_s: float) -> None:
    with VirtualTime() as timing:
        source = NewestFrame(TimedCamera(timing, camera_fps, 100_000), timing)
        _, screen, _ = watch(timing, source, TimedSegmenter(timing, inference_s), seconds=60.0)
    settled_s = 6 * max(inference_s, 1 / camera_fps)
    assert [moment for moment in screen.dead_s if moment > settled_s] == []


def test_gaps_of_a_quick_camera_are_never_got_used_to() -> None:
    class Stuttering(TimedCamera):
        """Three frames, and then a gap of five seconds."""

        def read(self, timeout_s: float = 1.0) -> object:  # type: ignore[override]
            if self.captured % 3 == 2:
                self._timing.sleep(5.0)
                self._next_s = self.clock()
            return super().read(timeout_s)

    with VirtualTime() as timing:
        source = NewestFrame(Stuttering(timing, 30, 60), timing)
        _, screen, _ = watch(timing, source, TimedSegmenter(timing, 0.02), seconds=100.0)
    for before, after in zip(screen.results, screen.results[1:], strict=False):
        if after.record.timestamp_s - before.record.timestamp_s > 1:
            banner_s = next(moment for moment in screen.dead_s if moment > before.record.timestamp_s)
            assert banner_s - before.record.timestamp_s <= 0.5


def test_the_limit_can_be_set() -> None:
    with VirtualTime() as timing:
        _, screen, _ = watch(timing, *hanging_camera(timing), seconds=8.0, config=LoopConfig(stale_after_s=3.0))
    assert screen.dead_s[0] - screen.results[-1].record.timestamp_s == pytest.approx(3.0)


def test_before_the_first_frame_there_is_a_card() -> None:
    with VirtualTime() as timing:
        source = NewestFrame(TimedCamera(timing, 30, 9, hangs_after=0), timing)
        _, screen, overlay = watch(timing, source, TimedSegmenter(timing, 0.02), seconds=1.0)
    assert screen.dead_s[0] <= 0.3
    assert set(overlay.texts) == {"NO PICTURE YET"}
    assert set(overlay.pictures) == {None}


def test_a_source_that_reconnects_says_so() -> None:
    class Lost(NewestFrame):
        """Its link was lost with the last frame."""

        @property
        def state(self) -> SourceState:
            return SourceState("reconnecting" if timing.now > 2 else "connected")

    with VirtualTime() as timing:
        source = Lost(TimedCamera(timing, 30, 90, hangs_after=60), timing)
        _, _, overlay = watch(timing, source, TimedSegmenter(timing, 0.02), seconds=3.0)
    assert overlay.texts[-1].startswith("RECONNECTING: this picture is ")


def test_a_picture_of_a_file_is_dead_when_the_model_hangs() -> None:
    with VirtualTime() as timing:
        segmenter = TimedSegmenter(timing, lambda call: 0.02 if call < 9 else float("inf"))
        _, screen, overlay = watch(timing, TimedFile(timing, grey_frames(50), 0.01), segmenter, seconds=3.0)
    assert screen.dead_s[0] - screen.times_s[-1] <= 0.5
    assert overlay.texts[0].startswith("STALE")


def test_a_sink_without_pictures_hears_nothing() -> None:
    with VirtualTime() as timing:
        sink = Collector(clock=timing.clock)
        source, segmenter = hanging_camera(timing)
        run_loop(source, segmenter, [sink], overlay=Texts(), stopped=lambda: timing.now > 4, timing=timing)
    assert len(sink.results) == 60
    assert sink.dead_s == []


def pausing(timing: VirtualTime, controls: Controls, begin_s: float, end_s: float) -> None:
    """Press pause and press it again."""

    def press() -> None:
        timing.sleep(begin_s)
        controls.toggle_paused()
        timing.sleep(end_s - begin_s)
        controls.toggle_paused()

    timing.start(press, "somebody")


def test_a_pause_of_a_camera_says_so_and_no_old_frame_follows() -> None:
    with VirtualTime() as timing:
        controls = Controls(CAMVID)
        pausing(timing, controls, 1.0, 11.0)
        source = NewestFrame(TimedCamera(timing, 30, 100_000), timing)
        report, screen, overlay = watch(timing, source, TimedSegmenter(timing, 0.02), 12.0, controls=controls)
    assert set(overlay.texts) == {"PAUSED"}
    gaps = [after - before for before, after in zip(screen.dead_s, screen.dead_s[1:], strict=False)]
    assert max(gaps) <= 0.25
    assert screen.dead_s[0] <= 1.05
    assert [moment for moment in screen.times_s if 1.05 < moment < 11.0] == []
    resumed = [result for result, moment in zip(screen.results, screen.times_s, strict=True) if moment > 11.0]
    assert resumed[0].record.timestamp_s > 10.9  # none of those that were on their way when it began
    assert report.stages["total"].p99 < 100
    assert report.elapsed_s == pytest.approx(2.0, abs=0.15)
    assert report.captured == report.frames + report.dropped


def test_a_pause_of_a_file_loses_no_frame_and_counts_into_no_age() -> None:
    with VirtualTime() as timing:
        controls = Controls(CAMVID)
        pausing(timing, controls, 0.5, 60.5)
        source = TimedFile(timing, grey_frames(50), 0.01)
        report, screen, overlay = watch(timing, source, TimedSegmenter(timing, 0.02), 1e3, controls=controls)
    assert screen.indices == list(range(50))
    assert set(overlay.texts) == {"PAUSED"}
    assert (report.dropped, report.ended) == (0, Ended.SOURCE)
    assert report.stages["total"].p99 < 150
    assert report.elapsed_s == pytest.approx(50 * 0.02, abs=0.15)


def test_a_pause_takes_nothing_off_the_number_of_frames_asked_for() -> None:
    with VirtualTime() as timing:
        controls = Controls(CAMVID)
        pausing(timing, controls, 1.0, 2.0)
        sink = Collector()
        source = NewestFrame(TimedCamera(timing, 30, 100_000), timing)
        segmenter = TimedSegmenter(timing, 0.02)
        report = run_loop(source, segmenter, [sink], controls=controls, max_frames=40, timing=timing)
    assert (report.frames, report.ended) == (40, Ended.LIMIT)


@pytest.mark.parametrize("seconds", [0.7, 1.3])
def test_a_run_can_be_ended_by_the_page_also_while_paused(seconds: float) -> None:
    with VirtualTime() as timing:
        controls = Controls(CAMVID)
        pausing(timing, controls, 1.0, 9.0)

        def press() -> None:
            timing.sleep(seconds)
            controls.stop()

        timing.start(press, "page")
        source = NewestFrame(TimedCamera(timing, 30, 100_000), timing)
        report, _, _ = watch(timing, source, TimedSegmenter(timing, 0.02), 100.0, controls=controls)
        assert timing.now == pytest.approx(seconds, abs=0.2)
    assert report.ended is Ended.PAGE


def test_what_is_drawn_follows_the_controls_also_while_paused() -> None:
    with VirtualTime() as timing:
        controls = Controls(CAMVID)
        painted: list[str] = []

        class Seen(Texts):
            """Notes the mode of each picture."""

            def paint(self, *_: object, **__: object) -> Frame:
                painted.append(self.mode)
                return grey_frame(1)

        def press() -> None:
            timing.sleep(0.5)
            controls.toggle_paused()
            timing.sleep(0.5)
            controls.mode, controls.classes = "outline", ["road"]

        timing.start(press, "page")
        overlay = Seen()
        source = NewestFrame(TimedCamera(timing, 30, 100_000), timing)
        run_loop(
            source,
            TimedSegmenter(timing, 0.02),
            [Collector(wants_picture=True)],
            overlay=overlay,
            controls=controls,
            stopped=lambda: timing.now > 2,
            timing=timing,
        )
    assert painted[-1] == "outline"
    assert painted.count("outline") == 1  # once is enough for a picture that stands
    assert overlay.classes == [("road",)]
    assert overlay.pictures[-1] is not overlay.pictures[0]
