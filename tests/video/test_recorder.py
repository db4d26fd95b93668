"""Recording in parts, and what becomes of a recording whose run did not end well."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from counted_frames import counted_frame, counted_result, make_part, numbers

from edgeseg.cli.main import main
from edgeseg.errors import OutputError, SourceError
from edgeseg.types import Frame
from edgeseg.video.recording import recorder as recorder_module
from edgeseg.video.recording.growing import GrowingVideo
from edgeseg.video.recording.recorder import Recorder
from edgeseg.video.recording.recovery import find_unfinished, recover
from edgeseg.video.recording.unfinished import CONTAINERS, part_of, part_path, parts, target_path, unfinished_path
from edgeseg.video.sinks import VideoFileSink

SUFFIXES = sorted(CONTAINERS)


def record(path: Path, frames: range, fps: float = 30.0) -> Recorder:
    """A recording under way."""
    recorder = Recorder(path, fps, (128, 48))
    for index in frames:
        recorder.append(counted_frame(index), index / fps)
    return recorder


def tear(part: Path) -> None:
    """Cut it in the middle of its frames: no index, and one frame that is not whole."""
    data = part.read_bytes()
    os.truncate(part, (data.index(b"movi") + data.index(b"idx1")) // 2)


def leave(path: Path, count: int = 75, fps: float = 30.0) -> Path:
    """What a killed run leaves: the whole parts, the last of them both gathered and beside it, and a torn one."""
    recorder = record(path, range(count // 30 * 30), fps)
    recorder.close()
    unfinished = unfinished_path(path)
    path.rename(unfinished)
    gathered = (count // 30 - 1) * 30
    make_part(part_path(unfinished, gathered), range(gathered, gathered + 30), fps)
    torn = make_part(part_path(unfinished, gathered + 30), range(gathered + 30, gathered + 60), fps)
    tear(torn)
    return unfinished


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestRecording:
    def test_every_frame_arrives_and_nothing_else_is_left(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"drive{suffix}"
        record(path, range(100)).close()
        assert numbers(path) == list(range(100))
        assert names(tmp_path) == [path.name]

    def test_while_it_is_recorded_it_plays(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"drive{suffix}"
        recorder = record(path, range(61))
        _wait_until(lambda: not parts(unfinished_path(path))[1:])  # the two whole parts are in, the third is begun
        assert numbers(unfinished_path(path)) == list(range(60))
        assert not path.exists()
        recorder.close()
        recorder.close()  # twice is harmless
        assert numbers(path) == list(range(61))

    def test_neither_threads_nor_descriptors_are_left(self, tmp_path: Path, suffix: str) -> None:
        record(tmp_path / f"first{suffix}", range(31)).close()
        descriptors, threads = os.listdir("/proc/self/fd"), threading.active_count()  # noqa: PTH208 - not a folder to us
        for number in range(3):
            record(tmp_path / f"drive{number}{suffix}", range(65)).close()
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)  # noqa: PTH208
        assert threading.active_count() == threads


class TestParts:
    def test_a_slow_recording_is_cut_by_the_callers_clock(self, tmp_path: Path) -> None:
        """Two frames a second of a video of 30: a part would else be 15 s of the caller's time."""
        recorder = Recorder(tmp_path / "drive.mkv", 30.0, (128, 48))
        for index in range(6):
            recorder.append(counted_frame(index), index / 2)
        _wait_until(lambda: len(parts(unfinished_path(tmp_path / "drive.mkv"))) == 1)
        assert numbers(unfinished_path(tmp_path / "drive.mkv")) == [0, 1, 2, 3]
        recorder.close()
        assert numbers(tmp_path / "drive.mkv") == list(range(6))

    def test_a_slow_disk_does_not_hold_up_the_caller(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = threading.Event()
        fsync = os.fsync

        def slow(descriptor: int) -> None:
            assert gate.wait(60)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow)
        recorder = record(tmp_path / "drive.mkv", range(100))  # returns while the first part still waits for the disk
        assert len(parts(unfinished_path(tmp_path / "drive.mkv"))) == 4
        gate.set()
        recorder.close()
        assert numbers(tmp_path / "drive.mkv") == list(range(100))


class TestFailures:
    def test_a_disk_that_fills_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "drive.mkv"
        append, all_given = GrowingVideo._add, threading.Event()

        def full_at_60(video: GrowingVideo, data: bytes) -> None:
            if video.frames == 60:
                assert all_given.wait(60)
                raise OSError(28, "No space left on device")
            append(video, data)

        with monkeypatch.context() as patched:
            patched.setattr(GrowingVideo, "_add", full_at_60)
            recorder = record(path, range(91))
            all_given.set()
            with pytest.raises(OutputError, match=r"No space left.*edgeseg recover .*drive\.mkv"):
                _append_for_ever(recorder, 91)
            recorder.close()  # says nothing twice
        assert not path.exists()
        recovered = recover(unfinished_path(path))
        assert recovered is not None
        assert recovered.path == path
        assert recovered.frames >= 91
        assert numbers(path)[:91] == list(range(91))
        assert names(tmp_path) == ["drive.mkv"]

    def test_an_encoder_that_takes_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "drive.mp4"
        recorder = record(path, range(40))
        with monkeypatch.context() as patched:
            patched.setattr(recorder_module, "write_part", lambda *_: False)
            with pytest.raises(OutputError, match="disk full"):
                recorder.append(counted_frame(40), 40 / 30)
        recorder.close()
        assert numbers(path) == list(range(40))

    def test_an_encoder_that_loses_frames_without_a_word(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As OpenCV up to 4.12 does on a full disk. What fails at the very end is said at the end."""
        path = tmp_path / "drive.mkv"
        recorder = record(path, range(30))
        with monkeypatch.context() as patched:
            patched.setattr(recorder_module, "write_part", lambda *_: True)
            recorder.append(counted_frame(30), 1.0)
        with pytest.raises(OutputError, match="torn; is the disk full"):
            recorder.close()
        assert numbers(path) == list(range(30))

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_defect_does_not_finish_half_a_recording(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def defect(_: Path) -> None:
            raise ZeroDivisionError("a defect")

        recorder = record(tmp_path / "drive.mkv", range(40))
        with monkeypatch.context() as patched:
            patched.setattr(recorder_module, "read_part", defect)
            with pytest.raises(OutputError, match="edgeseg recover"):
                recorder.close()
        assert not (tmp_path / "drive.mkv").exists()
        recovered = recover(unfinished_path(tmp_path / "drive.mkv"))
        assert recovered is not None
        assert recovered.frames == 40

    def test_an_opencv_without_the_encoder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorder_module, "open_part", lambda *_: cv2.VideoWriter())
        recorder = Recorder(tmp_path / "drive.mkv", 30.0, (128, 48))
        with pytest.raises(OutputError, match="cannot encode MPEG-4"):
            recorder.append(counted_frame(0), 0.0)
        recorder.close()
        assert names(tmp_path) == []

    def test_two_at_once_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "drive.mkv"
        recorder = record(path, range(3))
        with pytest.raises(OutputError, match="another process is recording"):
            VideoFileSink(path)
        assert main(["recover", str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        recorder.append(counted_frame(3), 0.1)
        recorder.close()
        assert numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestRecovery:
    def test_every_readable_frame_once(self, tmp_path: Path, suffix: str) -> None:
        unfinished = leave(tmp_path / f"drive{suffix}")
        recovered = recover(unfinished)
        assert recovered is not None
        assert recovered.path == tmp_path / f"drive{suffix}"
        assert 60 < recovered.frames < 90
        assert recovered.seconds == pytest.approx(recovered.frames / 30)
        assert numbers(recovered.path) == list(range(recovered.frames))
        assert names(tmp_path) == [f"drive{suffix}"]

    def test_killed_at_any_step_of_itself_it_loses_nothing(
        self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Killed(BaseException):
            """Nothing may catch it."""

        expected = None
        for step in range(30):
            folder = tmp_path / str(step)
            unfinished = leave(folder / f"drive{suffix}")
            calls = 0

            def counting(real: object, at: int = step) -> object:
                def call(*args: object, **kwargs: object) -> object:
                    nonlocal calls
                    calls += 1
                    if calls > at:
                        raise Killed
                    assert callable(real)
                    return real(*args, **kwargs)

                return call

            with monkeypatch.context() as patched:
                patched.setattr(os, "fsync", counting(os.fsync))
                patched.setattr(Path, "unlink", counting(Path.unlink))
                patched.setattr(Path, "rename", counting(Path.rename))
                try:
                    done = recover(unfinished)
                except Killed:
                    done = None
            if done is not None:
                assert step > 5
                break
            again = [recover(left) for left in find_unfinished(folder)]
            assert len(again) <= 1
            frames = numbers(folder / f"drive{suffix}")
            expected = expected or frames
            assert frames == expected == list(range(len(frames)))
            assert names(folder) == [f"drive{suffix}"]
        else:
            pytest.fail("it never came to its end")

    def test_killed_before_its_first_second(self, tmp_path: Path, suffix: str) -> None:
        unfinished = tmp_path / f"drive.unfinished{suffix}"
        unfinished.touch()
        torn = make_part(part_path(unfinished, 0), range(20), 25.0)
        tear(torn)
        recovered = recover(unfinished)
        assert recovered is not None
        assert recovered.frames > 5
        assert recovered.seconds == pytest.approx(recovered.frames / 25)
        assert numbers(recovered.path) == list(range(recovered.frames))

    def test_where_no_frame_reached_the_disk_nothing_stays(self, tmp_path: Path, suffix: str) -> None:
        unfinished = tmp_path / f"drive.unfinished{suffix}"
        unfinished.touch()
        part_path(unfinished, 0).touch()
        assert recover(unfinished) is None
        assert names(tmp_path) == []

    def test_the_next_run_rescues_and_says_so(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"drive{suffix}"
        record(path, range(200, 210)).close()  # an older, whole recording
        old = path.read_bytes()
        leave(tmp_path / "new" / path.name)
        for left in (tmp_path / "new").iterdir():
            left.rename(tmp_path / left.name)
        with VideoFileSink(path) as sink:
            saved = tmp_path / f"drive-recovered{suffix}"
            assert path.read_bytes() == old
            assert len(sink.notes) == 1
            assert sink.notes[0].startswith(f"what a killed run had recorded is in {saved}: ")
            for index in range(300, 305):
                sink.write(counted_result(index))
        frames = numbers(saved)
        assert frames == list(range(len(frames)))
        assert len(frames) > 60
        assert numbers(path) == list(range(300, 305))
        leave(tmp_path / "new" / path.name)
        for left in (tmp_path / "new").iterdir():
            left.rename(tmp_path / left.name)
        with VideoFileSink(path) as sink:
            assert f"drive-recovered-2{suffix}" in sink.notes[0]
        assert numbers(saved) == frames


class TestNames:
    def test_they_lead_to_each_other(self) -> None:
        unfinished = unfinished_path(Path("a/drive.one.mkv"))
        assert unfinished == Path("a/drive.one.unfinished.mkv")
        assert target_path(unfinished) == Path("a/drive.one.mkv")
        assert part_of(part_path(unfinished, 90)) == unfinished
        for other in ("drive.avi", "drive.mkv.000000001.avi", "drive.unfinished.mkv.avi", "drive.unfinished.mkv"):
            assert part_of(Path(other)) is None

    def test_a_recording_is_found_by_each_of_its_names(self, tmp_path: Path) -> None:
        unfinished = leave(tmp_path / "drive.mkv")
        (tmp_path / "whole.mkv").touch()
        part = part_path(unfinished, 30)
        assert part.exists()
        for name in (tmp_path, tmp_path / "drive.mkv", unfinished, part):
            assert find_unfinished(name) == [unfinished]
        assert find_unfinished(tmp_path / "whole.mkv") == []
        with pytest.raises(SourceError, match="no such file"):
            find_unfinished(tmp_path / "other.mkv")


class TestCommand:
    def test_all_of_a_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("a.mkv", "b.mp4"):
            leave(tmp_path / name)
        foreign = tmp_path / "c.unfinished.mkv"
        foreign.write_bytes(b"my own")
        assert main(["recover", str(tmp_path)]) == 2
        shown = capsys.readouterr()
        assert [line.split(":")[0] for line in shown.out.splitlines()] == [
            str(tmp_path / "a.mkv"),
            str(tmp_path / "b.mp4"),
        ]
        assert " frames, 2." in shown.out
        assert "not begun by edgeseg" in shown.err
        assert foreign.read_bytes() == b"my own"
        foreign.unlink()
        assert main(["recover", str(tmp_path)]) == 0
        assert capsys.readouterr().out == "nothing was left unfinished\n"

    def test_a_folder_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def denied(_: Path) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", denied)
        assert main(["recover", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"edgeseg: error: {tmp_path}: cannot be listed (Permission denied). Get permission, or name another.\n"
        )

    def test_a_path_where_nothing_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["recover", str(tmp_path / "none.mkv")]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_a_whole_recording_is_not_overwritten(self, tmp_path: Path) -> None:
        leave(tmp_path / "drive.mkv")
        (tmp_path / "drive.mkv").write_bytes(b"whole")
        assert main(["recover", str(tmp_path / "drive.mkv")]) == 0
        assert (tmp_path / "drive.mkv").read_bytes() == b"whole"
        assert len(numbers(tmp_path / "drive-recovered.mkv")) > 60


def test_pictures_are_those_that_were_written(tmp_path: Path) -> None:
    """Not only the numbers: each picture of a whole recording is near the one handed in."""
    rng = np.random.default_rng(0)
    pictures = [cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (128, 96)) for _ in range(40)]
    recorder = Recorder(tmp_path / "drive.mp4", 30.0, (128, 96))
    for index, picture in enumerate(pictures):
        recorder.append(np.asarray(picture, np.uint8), index / 30)
    recorder.close()
    capture = cv2.VideoCapture(str(tmp_path / "drive.mp4"))
    for picture in pictures:
        read: Frame = np.asarray(capture.read()[1], np.uint8)
        assert np.abs(read.astype(int) - picture).mean() < 12


def _append_for_ever(recorder: Recorder, index: int) -> None:
    """Until the recorder's thread has told what befell it."""
    while True:
        recorder.append(counted_frame(index), index / 30)
        index += 1


def _wait_until(met: object) -> None:
    """The recorder's thread works on its own; a loaded machine may take a while."""
    assert callable(met)
    waited = threading.Event()
    for _ in range(600):
        if met():
            return
        waited.wait(0.05)
    pytest.fail("the recorder's thread did nothing for 30 s")
