"""A whole run with all its files: what they say fits together, also after a kill and after a signal."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from counted_frames import counted_frame, make_part, numbers
from scripted_stream import ScriptedSource, brightness_segmenter, grey_frame

from edgeseg import open_source
from edgeseg.errors import ConfigError
from edgeseg.video.recording.unfinished import part_path
from edgeseg.video.sources.base import FrameRecord
from edgeseg.video.stats import Ended
from edgeseg.video.stream import StreamConfig, segment_stream


def test_video_labels_and_lines_are_of_the_same_frames(tmp_path: Path) -> None:
    config = StreamConfig(
        headless=True,
        max_frames=40,
        output=tmp_path / "out.mp4",
        save_labels=tmp_path / "labels",
        json_lines=tmp_path / "out.jsonl",
    )
    with open_source("synthetic://drive?size=96x128") as source:
        report = segment_stream(source, brightness_segmenter(), config)
    assert report.ended is Ended.LIMIT
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[0]["uri"] == "synthetic://drive?size=96x128"
    frames = [line for line in lines if "frame" in line]
    assert [line["frame"] for line in frames] == list(range(40))
    for line in frames:
        labels = cv2.imread(str(tmp_path / "labels" / f"{line['name']}.png"), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        assert sum(line["shares"].values()) == pytest.approx(1, abs=1e-4)
        assert line["shares"]["road"] == pytest.approx(np.mean(labels == 3), abs=1e-5)  # CamVid's road
    with open_source(tmp_path / "out.mp4") as video:
        assert video.fps == 30
        assert len(list(video)) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "out.jsonl", "out.mp4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_a_recording(tmp_path: Path, number: signal.Signals) -> None:
    class Interrupted(ScriptedSource):
        """Somebody stops the service while a frame of the second part is decoded."""

        def _take(self) -> FrameRecord | None:
            if self.captured == 45:
                os.kill(os.getpid(), number)
            return super()._take()

    source = Interrupted([grey_frame(index, (48, 64)) for index in range(200)])
    config = StreamConfig(headless=True, output=tmp_path / "out.mkv", json_lines=tmp_path / "out.jsonl")
    report = segment_stream(source, brightness_segmenter(), config)
    assert report.ended is Ended.SIGNAL
    assert 0 < report.frames < 200
    with open_source(tmp_path / "out.mkv") as video:
        assert len(list(video)) == report.frames
    assert (tmp_path / "out.jsonl").read_text().count('"frame"') == report.frames
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mkv"]


def test_the_report_says_what_was_rescued(tmp_path: Path) -> None:
    unfinished = tmp_path / "out.unfinished.mkv"
    unfinished.touch()
    make_part(part_path(unfinished, 0), range(20))
    source = ScriptedSource([counted_frame(index) for index in range(5)])
    report = segment_stream(source, brightness_segmenter(), StreamConfig(headless=True, output=tmp_path / "out.mkv"))
    assert f"what a killed run had recorded is in {tmp_path / 'out-recovered.mkv'}: 20 frames, 0.7 s" in report.notes
    assert numbers(tmp_path / "out-recovered.mkv") == list(range(20))
    with open_source(tmp_path / "out.mkv") as video:
        assert len(list(video)) == 5


def test_lines_never_go_into_the_source(tmp_path: Path) -> None:
    clip = make_part(tmp_path / "clip.avi", range(3))
    before = clip.read_bytes()
    with open_source(clip) as source, pytest.raises(ConfigError, match="is the source itself"):
        segment_stream(source, brightness_segmenter(), StreamConfig(headless=True, json_lines=clip))
    assert clip.read_bytes() == before
