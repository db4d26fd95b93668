"""Recordings that are played as if they were cameras, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import ScriptedSource, grey_frame, write_video
from virtual_time import VirtualTime

from edgeseg import open_source
from edgeseg.errors import DataError, SourceError
from edgeseg.video.sources import FrameRecord, Source
from edgeseg.video.sources.realtime import realtime


@pytest.fixture
def time() -> Iterator[VirtualTime]:
    with VirtualTime() as virtual:
        yield virtual


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames, 25 a second, whose brightness is their number times 20."""
    return write_video(tmp_path / "clip.avi", [grey_frame(20 * index, (48, 64)) for index in range(10)])


def read_all(source: Source, limit: int = 1000) -> list[FrameRecord]:
    """Frames until the end, at most so many."""
    records: list[FrameRecord] = []
    while not source.ended and len(records) < limit:
        record = source.read(1.0)
        if record is not None:
            records.append(record)
    return records


def test_a_video_takes_as_long_as_it_was_recorded(time: VirtualTime, clip: Path) -> None:
    with realtime(open_source(clip, time.clock), timing=time) as source:
        assert source.live
        assert source.files == (clip,)
        time.sleep(5.0)  # the first frame waits for the first read
        records = read_all(source)
    np.testing.assert_allclose([record.timestamp_s for record in records], 5.0 + np.arange(10) / 25.0, atol=1e-9)
    assert [round(float(record.frame_bgr.mean()) / 20) for record in records] == list(range(10))
    assert (source.captured, source.dropped, source.ended) == (10, 0, True)


def test_whoever_is_slower_gets_the_newest(time: VirtualTime, clip: Path) -> None:
    records = []
    with realtime(open_source(clip, time.clock), timing=time) as source:
        while not source.ended:
            record = source.read(1.0)
            if record is not None:
                assert time.now - record.timestamp_s < 1 / 25.0 + 1e-9
                records.append(record)
                time.sleep(0.1)
    assert len(records) == 4 + 1
    assert source.captured == 10 == len(records) + source.dropped


def test_without_a_rate_it_is_30(time: VirtualTime, tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), grey_frame(index))
    with realtime(open_source(tmp_path, time.clock), timing=time) as source:
        records = read_all(source)
    np.testing.assert_allclose([record.timestamp_s for record in records], np.arange(4) / 30.0, atol=1e-9)
    assert [record.name for record in records] == ["0", "1", "2", "3"]
    assert source.fps == 30.0


@pytest.mark.parametrize("kind", ["video", "images"])
def test_a_loop_has_no_end_and_time_never_steps_back(time: VirtualTime, tmp_path: Path, clip: Path, kind: str) -> None:
    if kind == "images":
        for index in range(10):
            cv2.imwrite(str(tmp_path / f"{index}.png"), grey_frame(20 * index))
    uri = str(clip) if kind == "video" else f"{tmp_path}/*.png"
    with realtime(open_source(uri, time.clock), loop=True, timing=time) as source:
        records = read_all(source, limit=35)
        assert not source.ended
        assert source.fps is not None
        assert source.live
        np.testing.assert_allclose(np.diff([record.timestamp_s for record in records]), 1 / source.fps, atol=1e-9)
    for first, again in zip(records, records[10:], strict=False):
        np.testing.assert_array_equal(first.frame_bgr, again.frame_bgr)
    assert [record.index for record in records] == list(range(35))
    assert len({record.name for record in records}) == 35
    if kind != "images":
        media_s = np.array([record.media_s for record in records], np.float64)
        np.testing.assert_allclose(np.diff(media_s), 1 / source.fps, atol=2e-3)


def test_the_synthetic_drive_loops(time: VirtualTime) -> None:
    with realtime(
        open_source("synthetic://drive?frames=1&size=64x64&fps=10", time.clock), loop=True, timing=time
    ) as source:
        first, second = read_all(source, limit=2)
    np.testing.assert_array_equal(first.frame_bgr, second.frame_bgr)
    assert (first.media_s, second.media_s) == (0.0, 0.1)


def test_a_decoder_that_is_too_slow_slows_it_down_and_nothing_is_hurried_after(time: VirtualTime) -> None:
    class Slow(ScriptedSource):
        def _take(self) -> FrameRecord | None:
            time.sleep(0.5 if self.captured == 2 else 0.0)
            return super()._take()

    slow = Slow([grey_frame(1)] * 6)
    slow.clock = time.clock
    with realtime(slow, timing=time) as source:
        moments_s = [record.timestamp_s for record in read_all(source)]
    waits_s = np.diff(moments_s)
    assert waits_s[1] == pytest.approx(0.5)
    assert (waits_s[2:] <= 1 / 30 + 1e-9).all()
    assert waits_s[2:].sum() > 2 / 30 - 1e-9
    assert slow.closed


def test_a_frame_of_no_use_is_raised_in_its_turn(time: VirtualTime) -> None:
    scripted = ScriptedSource([grey_frame(1), DataError("torn"), grey_frame(2)])
    scripted.clock = time.clock
    with realtime(scripted, timing=time) as source:
        assert source.read() is not None
        with pytest.raises(DataError, match="torn"):
            source.read()
        assert time.now == pytest.approx(1 / 30)
        assert source.read() is not None
        assert source.read() is None
    assert source.captured == 3


def test_what_has_no_frame_at_all_ends_a_loop_too(time: VirtualTime) -> None:
    with realtime(ScriptedSource([]), loop=True, timing=time) as source:
        assert source.read() is None
        assert source.ended


def test_a_live_source_stays_as_it_is() -> None:
    source = ScriptedSource([])
    source.live = True
    assert realtime(source) is source
    with pytest.raises(SourceError, match="Leave out --loop"):
        source.again()
