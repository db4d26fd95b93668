from __future__ import annotations

import threading

import pytest

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.video.controls import Controls
from edgeseg.video.overlay import MODES
from edgeseg.video.stats import Ended
from edgeseg.video.stream import StreamConfig


def test_they_begin_as_the_settings_say() -> None:
    controls = StreamConfig(mode="outline", classes=("road",)).controls(CAMVID)
    assert (controls.mode, controls.classes) == ("outline", ("road",))
    assert (controls.paused, controls.stopped, controls.take_snapshots()) == (False, None, 0)


def test_what_makes_no_sense_is_refused_and_changes_nothing() -> None:
    controls = Controls(CAMVID)
    with pytest.raises(ConfigError, match="sepia"):
        controls.mode = "sepia"
    with pytest.raises(ConfigError, match="unknown class cow"):
        controls.classes = ["road", "cow"]
    assert (controls.mode, controls.classes) == ("blend", None)


def test_modes_come_in_turn() -> None:
    controls = Controls(CAMVID)
    seen = []
    for _ in MODES:
        seen.append(controls.mode)
        controls.next_mode()
    assert (tuple(seen), controls.mode) == (MODES, MODES[0])


def test_no_wish_is_lost_between_threads() -> None:
    controls, rounds = Controls(CAMVID), 500

    def press() -> None:
        for _ in range(rounds):
            controls.toggle_paused()
            controls.next_mode()
            controls.ask_snapshot()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += controls.take_snapshots()
    assert taken + controls.take_snapshots() == 4 * rounds
    assert not controls.paused  # pressed an even number of times
    assert controls.mode == MODES[4 * rounds % len(MODES)]


def test_who_stops_it_is_remembered() -> None:
    controls = Controls(CAMVID)
    controls.stop(Ended.KEY)
    assert controls.stopped is Ended.KEY
