from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_bundle import LABELS, brightest_channel, noise, tiny_bundle

from edgeseg import Bundle, Segmenter
from edgeseg.errors import InputError
from edgeseg.runtime.fake import FakeSession, by_brightness


def test_a_bundle_segments_frames_of_any_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tiny_bundle(tmp_path / "a.edgeseg").path
    with Segmenter(Bundle.open(path), threads=1) as segmenter:
        assert (segmenter.backend, segmenter.precision, segmenter.label_map) == ("onnxruntime", "fp32", LABELS)
        assert str(segmenter.input_spec) == "frame: uint8 (1, ?, ?, 3)"
        for size_hw in ((24, 32), (7, 5)):
            frame = noise(rng, size_hw)
            result = segmenter(frame)
            assert result.labels.dtype == np.uint8
            np.testing.assert_array_equal(result.labels, brightest_channel(frame))
            assert result.latency_ms > 0
        assert not segmenter.host_resize


def test_frames_that_are_not_contiguous_in_memory(tmp_path: Path) -> None:
    frame = noise(np.random.default_rng(1), (48, 64))
    with Segmenter(tiny_bundle(tmp_path / "a.edgeseg")) as segmenter:
        for view in (frame[:, ::-1], frame[::2, ::2], frame[10:20, 5:9], frame[..., ::-1]):
            np.testing.assert_array_equal(segmenter(view).labels, brightest_channel(view))


def test_the_frame_is_not_written_to(tmp_path: Path) -> None:
    frame = noise(np.random.default_rng(1))
    before = frame.copy()
    frame.flags.writeable = False
    with Segmenter(tiny_bundle(tmp_path / "a.edgeseg")) as segmenter:
        segmenter(frame)
    np.testing.assert_array_equal(frame, before)


def test_a_static_graph_takes_other_sizes_by_resizing_on_the_host(tmp_path: Path) -> None:
    # Blocks of one colour survive a resize by whole factors, so every label has to come back in its place.
    small = noise(np.random.default_rng(2), (6, 8))
    with Segmenter(tiny_bundle(tmp_path / "a.edgeseg", (24, 32))) as segmenter:
        fitting = np.kron(small, np.ones((4, 4, 1), np.uint8))
        np.testing.assert_array_equal(segmenter(fitting).labels, brightest_channel(fitting))
        resized_before = segmenter.host_resize
        large = np.kron(small, np.ones((16, 16, 1), np.uint8))
        np.testing.assert_array_equal(segmenter(large).labels, brightest_channel(large))
        assert (resized_before, segmenter.host_resize) == (False, True)
        mirrored = large[:, ::-1]
        np.testing.assert_array_equal(segmenter(mirrored).labels, brightest_channel(mirrored))


def test_labels_of_a_resized_frame_are_not_shifted() -> None:
    """Half-pixel centres keep a symmetric picture symmetric; cv2.INTER_NEAREST does not."""
    two_poles = np.tile(np.array([0, 1, 0, 0, 1, 0], np.uint8), (6, 1))
    segmenter = Segmenter.from_session(FakeSession(two_poles, camera_hw=(6, 6)), LABELS)
    labels = segmenter(np.zeros((8, 8, 3), np.uint8)).labels
    np.testing.assert_array_equal(labels, np.tile([0, 1, 1, 0, 0, 1, 1, 0], (8, 1)))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "frame is None, so cv2.imread or read.. found nothing"),
        ([[1, 2, 3]], "frame is a list, not a numpy array"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
        (np.zeros((4, 4), np.uint8), "is grey: convert it with .*COLOR_GRAY2BGR"),
        (np.zeros((4, 4, 1), np.uint8), "is grey: convert it with .*COLOR_GRAY2BGR"),
        (np.zeros((4, 4, 4), np.uint8), "alpha channel: convert it with .*COLOR_BGRA2BGR"),
        (np.zeros((3, 4, 8), np.uint8), "channels last"),
        (np.zeros((1, 4, 4, 3), np.uint8), "one picture at a time"),
        (np.zeros((4, 4, 3), np.float32), "is float32: scale it to 0..255"),
        (np.zeros((4, 4, 3), np.uint16), "is uint16: scale it to 0..255"),
    ],
)
def test_what_is_no_frame_says_how_to_get_one(frame: Any, message: str) -> None:
    segmenter = Segmenter.from_session(FakeSession(by_brightness(3)), LABELS)
    with pytest.raises(InputError, match=message) as caught:
        segmenter(frame)
    assert "expected a BGR frame, uint8 (H, W, 3)" in str(caught.value)


def test_latency_is_that_of_the_session_alone() -> None:
    now = 100.0
    slept = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    session = FakeSession(np.ones((4, 6), np.uint8), delay_s=0.25, sleep=sleep)
    segmenter = Segmenter.from_session(session, LABELS, clock=lambda: now)
    result = segmenter(np.zeros((4, 6, 3), np.uint8))
    assert (result.latency_ms, slept) == (250.0, [0.25])
    np.testing.assert_array_equal(result.labels, np.ones((4, 6), np.uint8))


def test_closing_the_segmenter_closes_the_session() -> None:
    session = FakeSession(by_brightness(3))
    with Segmenter.from_session(session, LABELS):
        pass
    with pytest.raises(InputError, match="fake session was closed"):
        session.run(np.zeros((1, 4, 4, 3), np.uint8))


class TestFakeSession:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        return tiny_bundle(tmp_path / "a.edgeseg", (24, 32))

    def test_keeps_the_contract_of_a_bundle(self, bundle: Bundle) -> None:
        ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[:, None], (24, 1, 3))
        with Segmenter(bundle, backend="fake") as segmenter:
            assert segmenter.input_spec.shape == (1, 24, 32, 3)
            labels = segmenter(ramp).labels
        assert sorted(set(labels.ravel())) == [0, 1, 2]
        assert (labels[0, 0], labels[0, -1]) == (0, 2)

    def test_labels_of_another_size_are_told(self) -> None:
        session = FakeSession(np.zeros((2, 2), np.uint8))
        with pytest.raises(InputError, match="fake gave uint8"):
            session.run(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_picture_read_by_opencv_goes_straight_in(tmp_path: Path) -> None:
    frame = noise(np.random.default_rng(1))
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    picture = np.asarray(cv2.imread(str(tmp_path / "frame.png")), np.uint8)
    with Segmenter(tiny_bundle(tmp_path / "a.edgeseg")) as segmenter:
        np.testing.assert_array_equal(segmenter(picture).labels, brightest_channel(frame))
