"""Frames for which the model gives no numbers, and runtimes that are not the one that was hoped for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import ScriptedSource, grey_frame
from tiny_bundle import tiny_bundle

from edgeseg.cli.main import main
from edgeseg.errors import GateError
from edgeseg.files import write_bytes
from edgeseg.labels import CAMVID
from edgeseg.runtime.chain import Fallback
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.session import SESSIONS
from edgeseg.types import INVALID, Frame, Labels, Segmentation
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import MODES, Overlay
from edgeseg.video.photos import segment_photos
from edgeseg.video.stream import StreamConfig, segment_stream

DARK, LIGHT = 0, 200
STRIP = 17
"""Rows of a banner in pictures of 96."""
NO_DRIVER = Fallback("tensorrt", "no NVIDIA driver.")


def lights_only(frame_bgr: Frame) -> Labels:
    """Road, and no numbers for a frame that is dark."""
    return np.full(frame_bgr.shape[:2], INVALID if frame_bgr.max() == DARK else 3, np.uint8)


def segmenter() -> Segmenter:
    return Segmenter.from_session(FakeSession(lights_only), CAMVID)


def test_they_are_counted_and_end_in_an_error_after_the_run() -> None:
    script = [grey_frame(level) for level in (LIGHT, DARK, LIGHT, DARK)]
    report = run_loop(ScriptedSource(script), segmenter())
    assert (report.frames, report.invalid, report.failed) == (4, 2, 0)
    assert report.to_dict()["invalid"] == 2
    with pytest.raises(GateError, match="2 of 4 frames: the model computed a NaN or an infinity") as caught:
        report.raise_if_failed()
    assert caught.value.exit_code == 1
    run_loop(ScriptedSource(script[:1]), segmenter()).raise_if_failed()


@pytest.mark.parametrize("mode", MODES)
def test_the_picture_says_so_in_red_and_shows_no_class(mode: str) -> None:
    frame = grey_frame(90, (96, 400))
    picture = Overlay(CAMVID, mode=mode, banner="DEGRADED").paint(
        frame, np.full(frame.shape[:2], INVALID, np.uint8), "10 fps", valid=False
    )
    strip = picture[-STRIP:].reshape(-1, 3)
    assert np.median(strip, axis=0).tolist() == [40, 40, 200]
    assert (picture[20:-STRIP, 300:] == (0 if mode == "labels" else 90)).all()


def test_a_banner_stands_in_every_picture_and_is_cut_to_its_width() -> None:
    frame = grey_frame(90, (96, 400))
    labels = np.zeros(frame.shape[:2], np.uint8)
    plain = Overlay(CAMVID).paint(frame, labels)
    short, long = (Overlay(CAMVID, banner=text).paint(frame, labels) for text in ("DEGRADED", "DEGRADED… " * 90))
    for picture in (short, long):
        assert np.array_equal(picture[:-STRIP], plain[:-STRIP])
        assert np.median(picture[-STRIP:].reshape(-1, 3), axis=0).tolist() == [0, 180, 255]
        assert (picture[-STRIP:, -4:] == (0, 180, 255)).all()  # the margin
    assert (long[-STRIP:] != short[-STRIP:]).any()
    Overlay(CAMVID, banner="DEGRADED").paint(grey_frame(90, (5, 3)), np.zeros((5, 3), np.uint8))


@pytest.mark.parametrize("fallbacks", [(), (NO_DRIVER,)])
def test_a_stream_on_a_fallback_carries_the_banner(tmp_path: Path, fallbacks: tuple[Fallback, ...]) -> None:
    model = segmenter()
    model.fallbacks = fallbacks
    segment_stream(
        ScriptedSource([grey_frame(LIGHT, (120, 400))]),
        model,
        StreamConfig(headless=True, output=tmp_path / "out.avi"),
    )
    assert model.degraded == ("running on fake. Not on tensorrt: no NVIDIA driver." if fallbacks else None)
    _, picture = cv2.VideoCapture(str(tmp_path / "out.avi")).read()
    blue, _, red = np.median(picture[-10:].reshape(-1, 3), axis=0)
    assert (red - blue > 100) == bool(fallbacks)  # amber, as Motion JPEG keeps it


def test_a_photo_without_numbers_gets_no_pictures(tmp_path: Path) -> None:
    photo = tmp_path / "night.png"
    write_bytes(photo, cv2.imencode(".png", grey_frame(DARK))[1].tobytes())
    with pytest.raises(GateError, match=r"night\.png: the model computed a NaN"):
        segment_photos([photo], segmenter())
    assert [path.name for path in tmp_path.iterdir()] == ["night.png"]


def test_checked_labels() -> None:
    labels = np.zeros((2, 2), np.uint8)
    assert Segmentation(labels, 1.0).checked() is labels
    with pytest.raises(GateError, match="this frame: the model"):
        Segmentation(labels, 1.0, valid=False).checked()


def test_run_says_what_it_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorrt", "onnxruntime-cuda", "openvino"):
        monkeypatch.setitem(SESSIONS, name, "edgeseg.no_such_module:Session")
    bundle = tiny_bundle(tmp_path / "a.edgeseg")
    told = tmp_path / "run.json"
    drive = "synthetic://drive?seed=1&size=64x96"
    command = ["run", drive, str(bundle.path), "--headless", "--max-frames", "1", "--json", str(told)]
    assert main([*command, "--backend", "auto"]) == 0
    assert "edgeseg: note: running on onnxruntime. Not on tensorrt: the backend tensorrt" in capsys.readouterr().err
    report = json.loads(told.read_text())
    assert (report["backend"], report["asked_backend"], report["invalid"]) == ("onnxruntime", "auto", 0)
    assert [fallback["backend"] for fallback in report["fallbacks"]] == ["tensorrt", "onnxruntime-cuda", "openvino"]
    assert main(command) == 0
    assert (capsys.readouterr().err, json.loads(told.read_text())["fallbacks"]) == ("", [])
    assert main([*command, "--backend", "tensorrt"]) == 3
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("edgeseg: error: the backend tensorrt cannot be loaded here")
