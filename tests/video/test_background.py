"""The thread that waits for disks."""

from __future__ import annotations

import threading

import pytest

from edgeseg.video.sinks.background import Background


def test_all_is_done_in_order_and_what_has_gathered_together() -> None:
    gate, done = threading.Event(), list[list[int]]()

    def job(items: list[int]) -> None:
        assert gate.wait(30)
        done.append(items)

    background: Background[int] = Background(job, "test", 8)
    background.put(0)
    for item in range(1, 6):
        background.put(item)
    assert not background.idle
    gate.set()
    background.close()
    assert [item for items in done for item in items] == list(range(6))
    assert len(done) <= 2
    background.close()


def test_put_waits_while_too_many_wait() -> None:
    gate = threading.Event()
    background: Background[int] = Background(lambda _: _pass(gate), "test", 2)
    through = []

    def put() -> None:
        for item in range(6):
            background.put(item)
            through.append(item)

    putter = threading.Thread(target=put)
    putter.start()
    putter.join(0.2)
    assert putter.is_alive()
    assert len(through) <= 4  # two at work, two waiting
    gate.set()
    putter.join(30)
    assert through == list(range(6))
    background.close()


def test_an_error_is_raised_once_and_nobody_waits_for_ever() -> None:
    def job(_: list[int]) -> None:
        raise OSError("no space")

    background: Background[int] = Background(job, "test", 1)
    with pytest.raises(OSError, match="no space"):
        _put_for_ever(background)
    for item in range(5):
        background.put(item)  # thrown away
    background.close()


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    background: Background[int] = Background(lambda _: None, "test", 1)
    background.put(1)
    background.close()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="late"):
        _failing().close()
    assert threading.active_count() == before


def _pass(gate: threading.Event) -> None:
    assert gate.wait(30)


def _put_for_ever(background: Background[int]) -> None:
    while True:
        background.put(1)


def _failing() -> Background[int]:
    def job(_: list[int]) -> None:
        raise OSError("late")

    background: Background[int] = Background(job, "test", 1)
    background.put(1)
    return background
