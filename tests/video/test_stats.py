from __future__ import annotations

import numpy as np
import pytest

from edgeseg.video.stats import _KEPT, Ended, Percentiles, RunReport, StageTimes


def test_percentiles_are_values_that_were_measured() -> None:
    assert Percentiles.of(np.arange(1.0, 101.0)) == Percentiles(50.0, 95.0, 99.0)
    assert Percentiles.of([7.0]) == Percentiles(7.0, 7.0, 7.0)
    assert Percentiles.of([1.0, 100.0]) == Percentiles(1.0, 100.0, 100.0)


def test_only_the_newest_latencies_are_kept() -> None:
    times = StageTimes()
    assert times.percentiles() is None
    for _ in range(10):
        times.add(1000.0)
    for _ in range(_KEPT):
        times.add(1.0)
    assert times.percentiles() == Percentiles(1.0, 1.0, 1.0)


def test_a_report_whose_frames_do_not_add_up_is_a_defect() -> None:
    RunReport("x", 10, 7, 2, 1, 1.0, {}, Ended.SOURCE)
    with pytest.raises(ValueError, match="lost frames: 10 captured, but 7 processed, 2 dropped, 0 failed"):
        RunReport("x", 10, 7, 2, 0, 1.0, {}, Ended.SOURCE)
