"""The clock that jumps has to be right itself, for much is measured on it."""

from __future__ import annotations

import math

import pytest
from virtual_time import DeadlockError, VirtualTime

from edgeseg.video.pipeline.channel import Channel


def test_time_jumps_to_what_comes_first() -> None:
    log: list[tuple[float, str]] = []
    with VirtualTime() as timing:

        def sleeper(name: str, step_s: float) -> None:
            for _ in range(3):
                timing.sleep(step_s)
                log.append((timing.now, name))

        workers = [timing.start(lambda: sleeper("a", 2.0), "a"), timing.start(lambda: sleeper("b", 3.0), "b")]
        for worker in workers:
            worker.join()
        assert not any(worker.is_alive() for worker in workers)
    # At 6 s both are due: the one that fell asleep first goes first.
    assert log == [(2.0, "a"), (3.0, "b"), (4.0, "a"), (6.0, "b"), (6.0, "a"), (9.0, "b")]


def test_a_wait_ends_when_it_is_told_or_when_its_time_is_over() -> None:
    with VirtualTime() as timing:
        told: list[bool] = []
        changed = timing.condition()

        def tell() -> None:
            timing.sleep(5.0)
            with changed:
                told.append(True)
                changed.notify_all()

        timing.start(tell, "teller")
        with changed:
            assert not changed.wait_for(lambda: bool(told), 2.0)
            assert timing.now == 2.0
            assert changed.wait_for(lambda: bool(told), 100.0)
        assert timing.now == 5.0


def test_a_deadlock_is_said_and_what_hangs_is_named() -> None:
    with VirtualTime() as timing:
        timing.start(lambda: timing.sleep(math.inf), "hung")
        timing.sleep(1.0)
        assert timing.hanging == ["hung"]
        with pytest.raises(DeadlockError, match=r"at 1\.000 s every thread waits for ever: hung"):
            timing.sleep(math.inf)


def test_a_channel_is_bounded_in_order_and_can_be_closed() -> None:
    with VirtualTime() as timing:
        channel, taken = Channel[int](2, timing), []

        def produce() -> None:
            for number in range(6):
                assert channel.put(number)
            channel.finish()

        timing.start(produce, "producer")
        while not channel.ended:
            timing.sleep(1.0)
            taken.append(channel.get())
        assert taken == [0, 1, 2, 3, 4, 5]
        assert (channel.peak, channel.get()) == (2, None)


def test_a_channel_that_is_closed_lets_nobody_wait() -> None:
    with VirtualTime() as timing:
        channel, refused = Channel[int](1, timing), []
        assert channel.put(1)

        def produce() -> None:
            refused.extend([channel.put(2), channel.wait_for_room()])

        worker = timing.start(produce, "producer")
        timing.sleep(1.0)
        channel.close()
        worker.join()
        assert refused == [False, False]
        assert channel.get(10.0) is None  # what was on its way is gone
        assert timing.now == 1.0


def test_waiting_for_an_item_ends_in_time() -> None:
    with VirtualTime() as timing:
        channel = Channel[int](1, timing)
        assert channel.get(0.25) is None
        assert timing.now == 0.25
        assert not channel.ended
