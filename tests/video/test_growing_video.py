"""The two formats that a recording can grow in: what players, here OpenCV's FFmpeg, find in them at every moment."""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from counted_frames import make_part, number_of, numbers

from edgeseg.video.recording.growing import GrowingVideo, rate_of
from edgeseg.video.recording.parts import read_part
from edgeseg.video.recording.unfinished import CONTAINERS

NTSC = 30000 / 1001
SUFFIXES = sorted(CONTAINERS)


def grow(path: Path, parts: int, fps: float = NTSC, part_frames: int = 15) -> tuple[GrowingVideo, io.FileIO]:
    """A growing video of `parts` groups of frames, numbered throughout."""
    file = io.FileIO(path, "x+")
    video = None
    for number in range(parts):
        begin = number * part_frames
        track, packets = read_part(make_part(path.with_suffix(".avi"), range(begin, begin + part_frames), fps))
        assert track is not None
        video = video or CONTAINERS[path.suffix](file, replace(track, rate=rate_of(fps)))
        video.append(packets)
    assert video is not None
    return video, file


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what a full disk looks like to who writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestParts:
    def test_a_part_gives_back_every_frame(self, tmp_path: Path) -> None:
        track, packets = read_part(make_part(tmp_path / "a.avi", range(30), 25.0))
        assert track is not None
        assert (track.width, track.height, float(track.rate)) == (128, 48, 25.0)
        assert track.config.startswith(b"\x00\x00\x01\xb0")  # a visual object sequence
        assert len(packets) == 30
        assert [index for index, packet in enumerate(packets) if packet.key] == [0, 12, 24]  # OpenCV's key interval

    def test_a_torn_part_gives_what_is_whole(self, tmp_path: Path) -> None:
        whole = make_part(tmp_path / "a.avi", range(30)).read_bytes()
        _, packets = read_part(tmp_path / "a.avi")
        begins = [whole.find(packet.data) for packet in packets]
        for cut in (0, 7, 100, begins[0] + 3, begins[7], begins[7] + len(packets[7].data) - 1, begins[20] + 5):
            (tmp_path / "torn.avi").write_bytes(whole[:cut])
            track, torn = read_part(tmp_path / "torn.avi")
            expected = [packet for at, packet in zip(begins, packets, strict=True) if at + len(packet.data) <= cut]
            assert torn == expected
            assert (track is None) == (not torn)
        (tmp_path / "torn.avi").write_bytes(bytes(len(whole)))
        assert read_part(tmp_path / "torn.avi") == (None, [])


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestGrowing:
    def test_it_plays_at_every_moment(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 1)
        for count in (2, 3):
            assert numbers(path) == list(range(15 * (count - 1)))
            _, packets = read_part(make_part(tmp_path / "b.avi", range(15 * (count - 1), 15 * count), NTSC))
            video.append(packets)
        video.finish()
        file.close()
        assert numbers(path) == list(range(45))

    def test_time_length_and_pictures_are_those_of_the_parts(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 3)
        video.finish()
        file.close()
        capture, part = cv2.VideoCapture(str(path)), cv2.VideoCapture(str(tmp_path / "a.avi"))
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(NTSC, abs=1e-6)
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 45
        times, frames = [], []
        while (read := capture.read())[0]:
            frames.append(read[1])
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        assert times == pytest.approx([1000 * index / NTSC for index in range(45)], abs=0.51)  # Matroska: milliseconds
        for index in range(30, 45):
            np.testing.assert_array_equal(frames[index], part.read()[1])

    def test_one_can_jump_to_any_frame(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 4)
        video.finish()
        file.close()
        capture = cv2.VideoCapture(str(path))
        for index in (44, 3, 59, 15, 0, 31):
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            assert number_of(np.asarray(capture.read()[1], np.uint8)) == index

    def test_wherever_it_is_torn_it_can_be_resumed(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        ends = []
        for count in (1, 2, 3):
            path.unlink(missing_ok=True)
            video, file = grow(path, count)
            ends.append(path.stat().st_size)
            if count < 3:
                file.close()
        unfinished = path.read_bytes()
        video.finish()
        file.close()
        finished = path.read_bytes()
        rng = np.random.default_rng(0)
        for cut in sorted({0, 5, 400, ends[0] - 1, *ends, *(int(at) for at in rng.integers(0, ends[-1], 40))}):
            torn = tmp_path / f"torn{suffix}"
            torn.write_bytes(unfinished[:cut])
            with io.FileIO(torn, "r+") as opened:
                resumed = type(video).resume(opened)
                whole = sum(cut >= end for end in ends)
                if resumed is None:
                    assert whole == 0
                    continue
                assert resumed.frames == 15 * whole
                assert resumed.track == video.track
                for begin in range(15 * whole, 45, 15):
                    _, packets = read_part(make_part(tmp_path / "b.avi", range(begin, begin + 15), NTSC))
                    resumed.append(packets)
                resumed.finish()
            assert torn.read_bytes() == finished

    def test_a_torn_end_of_zeros_is_cut_off(self, tmp_path: Path, suffix: str) -> None:
        """As some file systems leave it after a power cut: the length is there, the content is not."""
        path = tmp_path / f"a{suffix}"
        _, file = grow(path, 2)
        file.close()
        size = path.stat().st_size
        with path.open("ab") as stream:
            stream.write(bytes(5000))
        with io.FileIO(path, "r+") as opened:
            resumed = CONTAINERS[suffix].resume(opened)
        assert resumed is not None
        assert resumed.frames == 30
        assert path.stat().st_size == size

    def test_a_torn_group_whose_length_is_right_is_cut_off(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 1)
        size = path.stat().st_size
        _, packets = read_part(make_part(tmp_path / "b.avi", range(15, 30), NTSC))
        video.append(packets)
        head = 40 if suffix == ".mkv" else 150  # into the first frame; into the list of frames
        with path.open("r+b") as stream:
            stream.seek(size + head)
            stream.write(bytes(path.stat().st_size - size - head))
        with io.FileIO(path, "r+") as opened:
            resumed = CONTAINERS[suffix].resume(opened)
        file.close()
        assert resumed is not None
        assert resumed.frames == 15
        assert path.stat().st_size == size

    def test_a_finished_one_is_finished_again_without_a_change(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 2)
        video.finish()
        file.close()
        before = path.read_bytes()
        with io.FileIO(path, "r+") as opened:
            resumed = CONTAINERS[suffix].resume(opened)
            assert resumed is not None
            assert resumed.frames == 30
            resumed.finish()
        assert path.read_bytes() == before

    def test_other_files_are_not_taken_for_one(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (64, 48))
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.release()
        by_opencv = path.read_bytes()
        for data in (b"", bytes(4000), np.random.default_rng(0).bytes(4000)):
            path.write_bytes(data)
            with io.FileIO(path, "r+") as opened:
                assert CONTAINERS[suffix].resume(opened) is None
            assert path.read_bytes() == data
        if suffix == ".mp4":  # in Matroska all files of one track begin alike
            path.write_bytes(by_opencv)
            with io.FileIO(path, "r+") as opened:
                assert CONTAINERS[suffix].resume(opened) is None
            assert path.read_bytes() == by_opencv

    def test_a_full_disk_leaves_it_whole(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 2)
        size = path.stat().st_size
        _, packets = read_part(make_part(tmp_path / "b.avi", range(30, 45), NTSC))
        with largest_file(size + 300), pytest.raises(OSError, match="File too large"):
            video.append(packets)
        assert (path.stat().st_size, video.frames) == (size, 30)
        video.append(packets)  # there is room again
        video.finish()
        file.close()
        assert numbers(path) == list(range(45))

    def test_hours_and_files_above_four_gigabytes(self, tmp_path: Path, suffix: str) -> None:
        """Sparse: the frames that lie beyond 5 GB are found by the index."""
        path = tmp_path / f"a{suffix}"
        _, packets = read_part(make_part(tmp_path / "b.avi", range(100, 115), NTSC))
        video, file = grow(path, 1)
        video._end += 5 << 30
        video.append(packets)
        video.finish()
        file.close()
        index = _at(path, path.stat().st_size - 8, 8)
        if suffix == ".mp4":
            place, sought = int.from_bytes(index, "big"), packets[0].data
        else:  # counted from the segment's content, which begins with the seek head
            place, sought = (
                int.from_bytes(index[-5:], "big") + _at(path, 0, 99).index(b"\x11\x4d\x9b\x74"),
                b"\x1f\x43\xb6\x75",
            )
        assert place > 5 << 30
        assert _at(path, place, len(sought)) == sought

    @pytest.mark.parametrize("fps", [0.5, 5.0, 12.5, 23.976, 59.94, 120.0])
    def test_rates(self, tmp_path: Path, suffix: str, fps: float) -> None:
        path = tmp_path / f"a{suffix}"
        video, file = grow(path, 2, fps, part_frames=4)
        video.finish()
        file.close()
        capture = cv2.VideoCapture(str(path))
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-3)
        assert numbers(path) == list(range(8))


def test_rates_become_fractions() -> None:
    assert rate_of(29.97002997) == Fraction(30000, 1001)
    assert rate_of(30.0) == 30
    assert rate_of(1e-9) > 0


def _at(path: Path, place: int, count: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(place)
        return stream.read(count)
