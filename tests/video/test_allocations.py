"""Nothing is copied twice: what each part of the loop allocates for a frame is what it gives, and little else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import tiny_bundle

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Segmentation
from edgeseg.video.health import HealthMonitor
from edgeseg.video.overlay import Overlay
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.sources.base import FrameRecord

HW = (720, 1280)
LABELS_BYTES = HW[0] * HW[1]
FRAME_BYTES = 3 * LABELS_BYTES


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()  # numpy and OpenCV's arrays in Python are counted, what lies inside the libraries is not
    yield
    tracemalloc.stop()


def most_at_once(call: Callable[[], object]) -> int:
    """Bytes that a call holds at most beyond what was held before, when it has been called a few times already."""
    for _ in range(3):
        call()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    kept = call()
    peak = tracemalloc.get_traced_memory()[1]
    del kept
    return peak - before


@pytest.fixture(scope="module")
def record() -> FrameRecord:
    return FrameRecord(0, SyntheticDrive(size_hw=HW).frame(20)[0], 0.0, "0")


@pytest.fixture(scope="module")
def found() -> Segmentation:
    return Segmentation(SyntheticDrive(size_hw=HW).frame(20)[1], 1.0)


def test_a_copied_frame_would_be_seen(record: FrameRecord) -> None:
    assert FRAME_BYTES <= most_at_once(record.frame_bgr.copy) < 1.01 * FRAME_BYTES


def test_the_frame_goes_to_the_session_as_it_is(tmp_path: Path, record: FrameRecord) -> None:
    with Segmenter(tiny_bundle(tmp_path / "a.edgeseg", HW)) as segmenter:
        assert most_at_once(lambda: segmenter(record.frame_bgr)) < 1.1 * LABELS_BYTES


@pytest.mark.parametrize("mode", ["blend", "outline", "labels", "off"])
def test_the_overlay_makes_one_picture(record: FrameRecord, found: Segmentation, mode: str) -> None:
    overlay = Overlay(CAMVID, mode=mode)
    most = most_at_once(lambda: overlay.paint(record.frame_bgr, found.labels, "30 fps"))
    assert FRAME_BYTES <= most < 1.25 * FRAME_BYTES


def test_the_scene_and_the_cameras_health_are_found_without_a_frame(record: FrameRecord, found: Segmentation) -> None:
    analyser, monitor = SceneAnalyser(CAMVID), HealthMonitor(30.0)
    assert most_at_once(lambda: analyser(record, found)) < 0.5 * FRAME_BYTES
    moving = iter(np.arange(10))
    assert most_at_once(lambda: monitor(FrameRecord(int(next(moving)), record.frame_bgr, 0.0, "0"))) < 0.5 * FRAME_BYTES
