from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import grey_frame

from edgeseg import open_source
from edgeseg.errors import ConfigError, OutputError
from edgeseg.types import Frame, Labels, Segmentation
from edgeseg.video.sinks import CODECS, FrameResult, LabelSink, VideoFileSink
from edgeseg.video.sources.base import FrameRecord


def result(
    picture: Frame, *, index: int = 0, at_s: float = 0.0, name: str = "", labels: Labels | None = None
) -> FrameResult:
    segmentation = Segmentation(np.zeros(picture.shape[:2], np.uint8) if labels is None else labels, 1.0)
    return FrameResult(FrameRecord(index, picture, at_s, name or f"{index:06d}"), segmentation, "", picture)


def levels(path: Path) -> list[int]:
    """The mean brightness of each frame of a video file."""
    with open_source(path) as source:
        return [round(float(record.frame_bgr.mean())) for record in source]


class TestVideoFile:
    @pytest.mark.parametrize("suffix", sorted(CODECS))
    def test_every_picture_is_written(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / "new folder" / f"out{suffix}"
        with VideoFileSink(path, fps=10) as sink:
            for index in range(8):
                sink.write(result(grey_frame(30 * index, (48, 64)), index=index))
        with open_source(path) as source:
            assert source.fps == 10
        assert np.abs(np.subtract(levels(path), range(0, 240, 30))).max() <= 4
        assert sink.notes == []

    def test_another_frame_size_is_scaled_and_noted(self, tmp_path: Path) -> None:
        with VideoFileSink(tmp_path / "out.avi") as sink:
            for size_hw in ((48, 64), (96, 64), (24, 32), (48, 64)):
                sink.write(result(grey_frame(100, size_hw)))
        assert len(levels(tmp_path / "out.avi")) == 4
        assert sink.notes == ["out.avi: the frame size changed; all is written at 64×48"]

    def test_a_live_recording_keeps_the_time(self, tmp_path: Path) -> None:
        path = tmp_path / "live.avi"
        with VideoFileSink(path, fps=10, live=True) as sink:
            # First slower than the file, so that a picture is held; then faster, so that one is skipped.
            for at_s, level in ((5.0, 0), (5.3, 60), (5.4, 120), (5.42, 180), (5.5, 240)):
                sink.write(result(grey_frame(level, (48, 64)), at_s=at_s))
        assert levels(path) == pytest.approx([0, 0, 0, 60, 120, 240], abs=4)

    def test_after_a_stall_it_does_not_write_copies_for_ever(self, tmp_path: Path) -> None:
        path = tmp_path / "live.avi"
        with VideoFileSink(path, fps=10, live=True) as sink:
            for at_s in (0.0, 3600.0, 3600.1):
                sink.write(result(grey_frame(9, (48, 64)), at_s=at_s))
        assert len(levels(path)) == 1 + 10 + 1

    def test_nothing_to_write_leaves_an_old_file_alone(self, tmp_path: Path) -> None:
        (tmp_path / "out.mkv").write_bytes(b"old")
        with VideoFileSink(tmp_path / "out.mkv"):
            pass
        assert (tmp_path / "out.mkv").read_bytes() == b"old"

    def test_names_that_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"cannot write \.gif; name it with one of: \.mkv, \.avi, \.mp4"):
            VideoFileSink(tmp_path / "out.gif")
        with pytest.raises(ConfigError, match="a video without suffix"):
            VideoFileSink(tmp_path / "out")
        (tmp_path / "folder.mkv").mkdir()
        with pytest.raises(ConfigError, match="is a folder"):
            VideoFileSink(tmp_path / "folder.mkv")
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="cannot be written"):
            VideoFileSink(tmp_path / "file" / "out.mkv").write(result(grey_frame(1)))

    @pytest.mark.parametrize("suffix", sorted(CODECS))
    def test_a_writer_that_refuses_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
    ) -> None:
        class Full:
            """A writer as OpenCV 5 has it on a full disk."""

            def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
                return True

            def write(self, _: Frame) -> bool:
                return False

            def release(self) -> None:
                pass

        monkeypatch.setattr(
            cv2, "VideoWriter", type("Writer", (), {"__new__": lambda *_: Full(), "fourcc": lambda *_: 0})
        )
        sink = VideoFileSink(tmp_path / f"out{suffix}")
        with pytest.raises(OutputError, match="disk full"):
            sink.write(result(grey_frame(1)))
        sink.close()


class TestLabels:
    def test_ids_are_written_as_they_are(self, tmp_path: Path) -> None:
        labels = np.random.default_rng(0).integers(0, 256, (24, 32), np.uint8)
        with LabelSink(tmp_path / "labels") as sink:
            sink.write(result(grey_frame(1), name="a/b", labels=labels))
            sink.write(result(grey_frame(1), index=7, labels=labels))
        for name in ("a/b", "000007"):
            read = cv2.imread(str(tmp_path / "labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(read, labels)

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "labels").touch()
        with pytest.raises(OutputError, match="labels: is a file"):
            LabelSink(tmp_path / "labels")

    def test_what_the_disk_refuses_is_told_once(self, tmp_path: Path) -> None:
        sink = LabelSink(tmp_path / "labels")
        sink.write(result(grey_frame(1)))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / "in the way").touch()
        sink.write(result(grey_frame(1), name="in the way/b"))
        with pytest.raises(OutputError, match=r"in the way/b\.png: cannot be written"):
            sink.close()
        sink.close()

    def test_a_slow_disk_holds_up_the_loop_only_when_many_wait(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = threading.Event()
        monkeypatch.setattr(os, "fsync", lambda _: gate.wait(60))
        with LabelSink(tmp_path / "labels") as sink:
            for index in range(16):
                sink.write(result(grey_frame(1), index=index))  # returns, though no file can be finished
            assert not list((tmp_path / "labels").glob("0*.png"))  # whole or absent
            gate.set()
            for index in range(16, 100):
                sink.write(result(grey_frame(1), index=index))
        assert len(list((tmp_path / "labels").iterdir())) == 100
