from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import ScriptedSource, TickClock, brightness_segmenter, grey_frame, write_video
from timed_stream import Collector

from edgeseg import open_source
from edgeseg.errors import ConfigError, UnavailableError
from edgeseg.labels import CAMVID
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.video.overlay import Overlay
from edgeseg.video.sources.base import FrameRecord
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.stats import Ended
from edgeseg.video.stopping import stop_on_signals
from edgeseg.video.stream import StreamConfig, segment_stream

SOON_S = 30.0
"""Far more than any step here needs, also on a busy machine."""


def test_labels_and_video_of_a_synthetic_drive(tmp_path: Path) -> None:
    config = StreamConfig(
        headless=True, max_frames=4, output=tmp_path / "out.avi", save_labels=tmp_path / "labels", classes=("road",)
    )
    segmenter = brightness_segmenter()
    with open_source("synthetic://drive?size=96x128") as source:
        report = segment_stream(source, segmenter, config)
    assert (report.frames, report.ended) == (4, Ended.LIMIT)
    with open_source("synthetic://drive?size=96x128&frames=4") as drive, open_source(tmp_path / "out.avi") as video:
        for record, written in zip(drive, video, strict=True):
            labels = segmenter(record.frame_bgr).labels
            saved = cv2.imread(str(tmp_path / "labels" / f"{record.name}.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(saved, labels)
            painted = Overlay(CAMVID, classes=["road"]).paint(record.frame_bgr, labels)
            below = np.s_[82:, 90:]  # without the legend
            assert np.abs(written.frame_bgr[below].astype(int) - painted[below]).mean() < 12  # Motion JPEG


def test_a_window_without_a_display_is_refused() -> None:
    with pytest.raises(UnavailableError, match="--headless"):
        segment_stream(ScriptedSource([grey_frame(1)]), brightness_segmenter(), StreamConfig())


def test_frames_resized_on_the_host_are_noted() -> None:
    session = FakeSession(np.zeros((24, 32), np.uint8), camera_hw=(24, 32))
    source = ScriptedSource([grey_frame(1, (48, 64))])
    report = segment_stream(source, Segmenter.from_session(session, CAMVID), StreamConfig(headless=True))
    assert any("--camera-size" in note for note in report.notes)


def test_outputs_never_overwrite_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "clip.avi", [grey_frame(1, (48, 64))] * 3)
    cv2.imwrite(str(tmp_path / "a.png"), grey_frame(1))
    before = clip.read_bytes()
    monkeypatch.chdir(tmp_path)
    with open_source(clip) as source, pytest.raises(ConfigError, match="is the source itself"):
        segment_stream(source, brightness_segmenter(), StreamConfig(headless=True, output=Path("clip.avi")))
    with open_source(f"{tmp_path}/*.png") as source, pytest.raises(ConfigError, match="the source's own images"):
        segment_stream(source, brightness_segmenter(), StreamConfig(headless=True, save_labels=Path()))
    assert clip.read_bytes() == before


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="--max-frames 0"):
        StreamConfig(max_frames=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_files(tmp_path: Path, number: signal.Signals) -> None:
    class Interrupted(ScriptedSource):
        """Somebody presses Ctrl-C while the tenth frame is decoded."""

        def _take(self) -> FrameRecord | None:
            if self.captured == 9:
                os.kill(os.getpid(), number)
            return super()._take()

    handlers = [signal.getsignal(caught) for caught in (signal.SIGINT, signal.SIGTERM)]
    source = Interrupted([grey_frame(index, (48, 64)) for index in range(99)])
    report = segment_stream(source, brightness_segmenter(), StreamConfig(headless=True, output=tmp_path / "out.avi"))
    assert report.ended is Ended.SIGNAL
    assert report.captured == report.frames + report.dropped < 99
    with open_source(tmp_path / "out.avi") as video:
        assert len(list(video)) == report.frames > 0
    assert [signal.getsignal(caught) for caught in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_the_second_signal_is_no_longer_caught() -> None:
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_is_seen_while_a_live_source_is_silent() -> None:
    sink, seen = Collector(), threading.Event()

    class Silent(ScriptedSource):
        """A camera that gives one frame and then nothing."""

        def _take(self) -> FrameRecord | None:
            if self.captured == 1:
                while not sink.results:
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGINT)
                seen.wait(SOON_S)
                return None
            return super()._take()

    class Watched(NewestFrame):
        def close(self) -> None:
            seen.set()
            super().close()

    source = Watched(Silent([grey_frame(1)], TickClock()))
    report = segment_stream(source, brightness_segmenter(), StreamConfig(headless=True), extra_sinks=[sink])
    assert (report.frames, report.ended) == (1, Ended.SIGNAL)
