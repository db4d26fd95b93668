"""Sessions that take turns on one frame, for the benchmarks that compare graphs: by `edgeseg.bench`'s own turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import numpy as np

from edgeseg.bench.rounds import Timed, take_turns
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame

_FRAMES_IN_A_TURN = 5


class _Turn:
    """One session on one frame."""

    def __init__(self, session: OrtSession, frame_bgr: Frame) -> None:
        self._session = session
        self._batch = np.ascontiguousarray(frame_bgr[np.newaxis])

    def step(self) -> Timed:
        """Run the frame."""
        began = time.perf_counter()
        self._session.run(self._batch)
        took_ms = 1e3 * (time.perf_counter() - began)
        return Timed(took_ms, took_ms)


class _Nobody:
    """Looks at nothing."""

    def began(self, number: int) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def ended(self, number: int, runs: int) -> None:
        """Nothing."""


def median_ms(sessions: Mapping[str, OrtSession], frame_bgr: Frame, rounds: int) -> dict[str, float]:
    """Median milliseconds of each session, five frames a turn, after one that is not timed."""
    subjects = [_Turn(session, frame_bgr) for session in sessions.values()]
    for subject in subjects:
        subject.step()
    slices = take_turns(
        subjects, rounds=rounds, slice_s=0, min_runs=_FRAMES_IN_A_TURN, clock=time.perf_counter, watch=_Nobody()
    )
    return {
        name: statistics.median(timed.session_ms for turn in turns for timed in turn.timed)
        for name, turns in zip(sessions, slices, strict=True)
    }
