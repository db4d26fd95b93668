"""A live source through thick and thin, in virtual time: nothing here waits, and each run is like the last."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from plugged_device import Device
from virtual_time import VirtualTime

from edgeseg.errors import ConfigError, DataError, SourceError
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.sources.live import LiveConfig
from edgeseg.video.sources.reconnecting import Reconnecting

POLL_S = 0.5


@pytest.fixture
def time() -> Iterator[VirtualTime]:
    with VirtualTime() as virtual:
        yield virtual


@pytest.fixture
def device(time: VirtualTime) -> Device:
    return Device(time)


def reconnecting(device: Device, config: LiveConfig = LiveConfig(), seed: int = 0) -> Reconnecting:  # noqa: B008 - frozen
    rng = np.random.default_rng(seed)
    return Reconnecting("device", device.connect, device.time.clock, rng=rng, config=config, timing=device.time)


def read_for(source: Source, seconds: float) -> list[FrameRecord]:
    """All that is read in so much time."""
    records = []
    until_s = source.clock() + seconds
    while source.clock() < until_s - 1e-9 and not source.ended:
        record = source.read(min(POLL_S, until_s - source.clock()))
        if record is not None:
            records.append(record)
    return records


def next_frame(source: Source, limit_s: float = 60.0) -> FrameRecord:
    """The next frame, which must come."""
    until_s = source.clock() + limit_s
    while source.clock() < until_s:
        record = source.read(POLL_S)
        if record is not None:
            return record
    raise AssertionError(f"no frame for {limit_s} s: {source.state}")


def test_frames_come_and_are_counted(device: Device) -> None:
    with reconnecting(device) as source:
        records = read_for(source, 1.0)
        assert [record.index for record in records] == list(range(30))
        assert source.state.link == "connected"
        assert (source.fps, source.live) == (30.0, True)
    assert (source.captured, source.dropped) == (30, 0)
    assert device.held == 0
    assert source.notes == []


def test_what_comes_before_the_first_read_is_thrown_away_uncounted(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        time.sleep(20.0)  # a model is being loaded
        assert source.state.link == "connected"
        first = next_frame(source)
        assert time.now - first.timestamp_s < 1e-9
        assert (first.index, first.name) == (0, "000000")
        time.sleep(1.0)
        second = next_frame(source)
        assert second.index in (29, 30)  # as the last frame of that second rounds
    assert (source.captured, source.dropped) == (second.index + 1, second.index - 1)


def test_a_silent_source_is_stalled_within_half_a_second_and_left_within_two_and_a_half(
    time: VirtualTime, device: Device
) -> None:
    with reconnecting(device) as source:
        last = read_for(source, 1.0)[-1]
        device.silent = True
        links: dict[str, float] = {}
        while time.now < last.timestamp_s + 2.5:
            assert source.read(0.01) is None
            links.setdefault(source.state.link, time.now - last.timestamp_s)
        assert list(links) == ["connected", "stalled", "reconnecting"]
        assert links["stalled"] <= 0.5
        assert links["reconnecting"] == pytest.approx(2.0, abs=0.02)
        assert source.state.reason == "device: no frame for 2 s"
        device.speak()
        after = next_frame(source, 1.0)
        assert after.index == last.index + 1
        assert source.state.reconnects == 1
        time.sleep(0.1)
        assert device.held == 1  # the reader that was left behind has given its handle back
    assert device.held == 0
    assert time.hanging == []
    assert source.notes == [
        f"the source was lost and found again once, {after.timestamp_s - last.timestamp_s:.1f} s without it in all"
    ]


def test_fifty_replugs(time: VirtualTime) -> None:
    """Outages from a moment to half a minute; recovery counts from the moment the plug is back in."""
    rng = np.random.default_rng(7)
    device = Device(time, fps=10.0)
    recovery_s, taken = [], 0
    with reconnecting(device) as source:
        for _ in range(50):
            taken += len(read_for(source, rng.uniform(0.5, 2.0)))
            device.silent = bool(rng.integers(2))  # some fall silent first
            taken += len(read_for(source, rng.uniform(0.0, 4.0)))
            device.unplug()
            taken += len(read_for(source, 30.0 * rng.uniform() ** 2))
            device.speak()
            device.plug()
            back_s = time.now
            record = next_frame(source, 10.0)
            taken += 1
            recovery_s.append(record.timestamp_s - back_s)
        assert source.state.reconnects >= 50
    assert np.percentile(recovery_s, 95) <= 3.0
    assert max(recovery_s) <= 2.2
    assert source.captured == taken + source.dropped
    assert device.held == 0
    assert time.hanging == []


def test_attempts_double_up_to_two_seconds_and_begin_anew_after_a_good_connection(
    time: VirtualTime, device: Device
) -> None:
    moments: list[float] = []

    def connect() -> Source:
        moments.append(time.now)
        return device.connect()

    with Reconnecting("device", connect, time.clock, rng=np.random.default_rng(0), timing=time) as source:
        for _ in range(2):
            read_for(source, 3.0)
            device.unplug()
            moments.clear()
            read_for(source, 30.0)
            waits_s = np.diff(moments)[:6] - device.opening_s
            longest_s = np.array([0.5, 1.0, 2.0, 2.0, 2.0, 2.0])
            assert (waits_s <= longest_s + 1e-9).all()
            assert (waits_s >= longest_s / 2 - 1e-9).all()
            assert source.state.attempt > 10
            device.plug()
            next_frame(source)


def test_a_connection_that_breaks_at_once_does_not_begin_anew(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        next_frame(source)
        for _ in range(12):
            device.unplug()
            device.plug()
            next_frame(source)
        before = device.openings
        for _ in range(5):
            device.unplug()
            device.plug()
            began_s = time.now
            next_frame(source)
            assert time.now - began_s >= 1.0
        assert device.openings == before + 5


def test_the_stream_s_time_goes_on(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        stamps = [(record.timestamp_s, record.media_s) for record in read_for(source, 2.0)]
        device.unplug()
        read_for(source, 3.0)
        device.plug()
        stamps += [(record.timestamp_s, record.media_s) for record in read_for(source, 4.0)]
    arrived_s, media_s = np.array(stamps, np.float64).T
    np.testing.assert_allclose(np.diff(media_s), np.diff(arrived_s), atol=1e-6)


def test_readers_that_hang_for_ever_are_no_more_than_four(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.silent = True
        read_for(source, 120.0)
        assert len(time.hanging) == 4
        assert device.openings == 4
        assert "4 earlier reads hang in the driver" in source.state.reason
        device.speak()
        assert next_frame(source, 4.0) is not None
        time.sleep(1.0)
        assert device.held == 1
    assert (device.held, time.hanging) == (0, [])


def test_an_opening_that_hangs_is_left_behind_and_closes_what_it_opens(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.unplug()
        device.plug()
        device.opening_s = 15.0
        read_for(source, 12.0)
        assert source.state.reason == "device: not open after 10 s"
        device.opening_s = 0.05
        next_frame(source)
        read_for(source, 15.0)
        assert device.held == 1
    assert (device.held, time.hanging) == (0, [])


def test_what_the_first_opening_says_is_raised_at_once(time: VirtualTime, device: Device) -> None:
    device.unplug()
    with pytest.raises(SourceError, match="the device is not there"):
        reconnecting(device)
    assert time.now == device.opening_s
    device.plug()
    device.opening_s = math.inf
    with pytest.raises(SourceError, match="not open after 10 s"):
        reconnecting(device)
    assert time.now < 11


def test_a_source_that_opens_and_gives_nothing_is_an_error(time: VirtualTime, device: Device) -> None:
    device.silent = True
    with reconnecting(device) as source:
        with pytest.raises(SourceError, match="device: no frame for 5 s"):
            read_for(source, 60.0)
        assert source.ended
        assert time.now <= 5.2
    assert source.read() is None


def test_a_source_that_breaks_before_its_first_frame_is_an_error(device: Device) -> None:
    with reconnecting(device) as source:
        device.unplug()
        with pytest.raises(SourceError, match="the device is gone"):
            read_for(source, 60.0)


def test_a_source_that_is_lost_before_it_is_first_read_is_opened_again(time: VirtualTime, device: Device) -> None:
    with reconnecting(device, LiveConfig(give_up_after_s=60.0)) as source:
        time.sleep(5.0)  # a model is being loaded
        device.unplug()
        time.sleep(5.0)
        assert source.read(5.0) is None
        assert source.state.link == "reconnecting"
        device.plug()
        assert next_frame(source).index == 0
        time.sleep(50.0)
        device.unplug()
        time.sleep(50.0)  # a pause: nobody reads
        read_for(source, 5.0)
        assert source.state.link == "reconnecting"


def test_a_camera_s_own_notes_are_told_once(time: VirtualTime, device: Device) -> None:
    def connect() -> Source:
        camera = device.connect()
        camera.notes.append("does not give fps=60, but 30")
        return camera

    with Reconnecting("device", connect, time.clock, rng=np.random.default_rng(0), timing=time) as source:
        next_frame(source)
        device.unplug()
        device.plug()
        next_frame(source)
    assert source.notes[0] == "does not give fps=60, but 30"
    assert [note for note in source.notes[1:] if "fps" in note] == []


@pytest.mark.parametrize("kind", ["silent", "unplugged"])
def test_it_gives_up_when_it_is_told_to(time: VirtualTime, device: Device, kind: str) -> None:
    with reconnecting(device, LiveConfig(give_up_after_s=30.0)) as source:
        last = read_for(source, 1.0)[-1]
        device.silent = True
        if kind == "unplugged":
            device.unplug()
        with pytest.raises(SourceError, match=r"Given up after 3\d s\."):
            read_for(source, 60.0)
        assert source.ended
        assert 30.0 - 1e-6 <= time.now - last.timestamp_s <= 30.5 + 1e-6
        assert source.read() is None


def test_without_being_told_to_it_does_not_give_up(device: Device) -> None:
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.unplug()
        read_for(source, 200.0)
        assert source.state.link == "reconnecting"
        assert (source.captured, source.dropped) == (30, 0)
        assert 200 / 2.1 < source.state.attempt < 200 / 1.0
    assert (source.captured, source.dropped) == (30, 0)
    assert source.notes == ["the source was lost at the end: the device is not there"]


def test_frames_of_no_use_are_raised_and_are_no_silence(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.torn = True
        for _ in range(150):
            with pytest.raises(DataError, match="torn"):
                source.read(POLL_S)
        assert time.now > 6.0
        assert source.state.link == "connected"
        assert source.captured == 180
        assert device.openings == 1


def test_a_slow_source_is_not_taken_for_a_silent_one(time: VirtualTime) -> None:
    device = Device(time, fps=0.5)
    with reconnecting(device) as source:
        assert len(read_for(source, 21.0)) == 10
        assert source.state.link == "connected"
    assert device.openings == 1


@pytest.mark.parametrize("moment_s", [0.1, 0.26, 3.0])
def test_closing_while_it_is_lost_leaves_nothing_behind(time: VirtualTime, device: Device, moment_s: float) -> None:
    device.opening_s = 0.3
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.unplug()
        read_for(source, 0.01)
        device.plug()
        read_for(source, moment_s)
    time.sleep(1.0)
    assert (device.held, time.hanging) == (0, [])
    assert source.read() is None


def test_closing_twice_waits_once_for_a_read_that_hangs(time: VirtualTime, device: Device) -> None:
    with reconnecting(device) as source:
        read_for(source, 1.0)
        device.silent = True
        read_for(source, 0.1)
        began_s = time.now
        source.close()
    assert time.now - began_s == pytest.approx(1.0)
    assert (source.captured, source.dropped) == (30, 0)
    device.speak()
    time.sleep(1.0)
    assert (device.held, time.hanging) == (0, [])


def test_closing_from_another_thread_ends_a_read(time: VirtualTime, device: Device) -> None:
    source = reconnecting(device)
    read_for(source, 1.0)
    device.unplug()
    device.opening_s = math.inf
    read_for(source, 1.0)

    def close() -> None:
        time.sleep(0.5)
        source.close()

    time.start(close, "closer")
    assert source.read(60.0) is None
    assert source.ended
    assert time.now < 4.0


def test_a_defect_is_not_taken_for_a_lost_camera(time: VirtualTime, device: Device) -> None:
    working = True

    def connect() -> Source:
        if not working:
            raise ZeroDivisionError("a defect")
        return device.connect()

    with Reconnecting("device", connect, time.clock, rng=np.random.default_rng(0), timing=time) as source:
        next_frame(source)
        working = False
        device.unplug()
        with pytest.raises(ZeroDivisionError):
            read_for(source, 5.0)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="--give-up 0: expected seconds above 0"):
        LiveConfig(give_up_after_s=0)
