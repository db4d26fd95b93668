from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import grey_frame, write_video
from tiny_bundle import LABELS, brightest_channel, noise, tiny_bundle

from edgeseg import open_source
from edgeseg.cli.main import main
from edgeseg.cli.stream_options import milliseconds
from edgeseg.runtime.default import DEFAULT_NAME
from edgeseg.video.overlay import Overlay


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(tiny_bundle(tmp_path / "road.edgeseg").path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of noise."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in ("a", "b", "c"):
        cv2.imwrite(str(folder / f"{name}.png"), noise(rng, (48, 64)))
    return folder


def test_labels_table_and_report(bundle: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_path, labels = tmp_path / "report.json", tmp_path / "labels"
    arguments = ["run", str(images), bundle, "--headless", "--save-labels", str(labels), "--threads", "1"]
    assert main([*arguments, "--json", str(report_path)]) == 0
    for path in images.iterdir():
        written = cv2.imread(str(labels / path.name), cv2.IMREAD_UNCHANGED)
        frame = cv2.imread(str(path))
        assert frame is not None
        np.testing.assert_array_equal(written, brightest_channel(np.asarray(frame, np.uint8)))
    shown = capsys.readouterr()
    assert re.search(r"^stage +p50 +p95 +p99$", shown.out, re.MULTILINE)
    for stage in ("capture", "inference", "output", "queues", "frame age"):
        assert re.search(rf"^{stage}( +\d+\.\d ms){{3}}$", shown.out, re.MULTILINE)
    assert re.search(
        r"^3 frames in .* s: .* frames/s, 0 dropped, 0 failed \(end of the source\)$", shown.out, re.MULTILINE
    )
    assert shown.err == ""
    report = json.loads(report_path.read_bytes())
    assert {key: report[key] for key in ("frames", "captured", "dropped", "failed")} == {
        "frames": 3,
        "captured": 3,
        "dropped": 0,
        "failed": 0,
    }
    assert report["fps"] > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"] <= report["latency_ms"]["p99"]
    assert set(report["stages"]) == {"capture", "inference", "analysis", "output", "queues", "total"}
    assert report["latency_ms"] == report["stages"]["total"]
    assert (report["source"], report["bundle"]) == (str(images), bundle)
    assert (report["backend"], report["precision"]) == ("onnxruntime", "fp32")
    assert report["machine"]["threads"] >= 1


def test_video_with_the_overlay_asked_for(bundle: str, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.avi"
    options = ["--output", str(output), "--alpha", "0.8", "--classes", "green, red", "--overlay", "blend"]
    assert main(["run", str(images), bundle, "--headless", "--max-frames", "2", "--precision", "fp16", *options]) == 0
    overlay = Overlay(LABELS, alpha=0.8, classes=["green", "red"])
    with open_source(images) as source, open_source(output) as video:
        written = list(video)
        assert len(written) == 2
        for given, got in zip(source, written, strict=False):
            expected = overlay.paint(given.frame_bgr, brightest_channel(given.frame_bgr))
            # Motion JPEG blurs noise; the means of the halves below the legend tell the settings apart all the same.
            for half in (np.s_[40:, :32], np.s_[40:, 32:]):
                assert np.abs(got.frame_bgr[half].mean((0, 1)) - expected[half].mean((0, 1))).max() < 12


def test_without_a_name_it_is_the_default_bundle(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(Path(f"{DEFAULT_NAME}.edgeseg"))
    assert main(["run", str(images), "--headless", "--json", "report.json"]) == 0
    assert json.loads(Path("report.json").read_bytes())["bundle"] == f"{DEFAULT_NAME}.edgeseg"


def flip_a_byte(bundle: Path) -> None:
    graph = bundle / "model.fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


@pytest.mark.parametrize(
    "arguments",
    [
        ["{tmp}/nowhere.mp4", "{bundle}"],
        ["{tmp}/text.mp4", "{bundle}"],
        ["9999", "{bundle}"],
        ["synthetic://drive?colour=red", "{bundle}"],
        ["synthetic://drive?frames=1", "{tmp}/nowhere.edgeseg"],
        ["{tmp}/broken.png", "{bundle}"],
        ["{images}", "{bundle}", "--classes", "road,cow"],
        ["{images}", "{bundle}", "--alpha", "2"],
        ["{images}", "{bundle}", "--output", "out.gif"],
        ["{images}", "{bundle}", "--max-frames", "0"],
        ["{images}", "{bundle}", "--in-flight", "0"],
        ["{images}", "{bundle}", "--unknown-below", "1.5"],
        ["{images}", "{bundle}", "--unknown-below", "0.5"],
        ["{images}", "{bundle}", "--smooth"],
        ["{images}", "{bundle}", "--birds-eye", "{tmp}/nowhere.json"],
        ["{images}", "{bundle}", "--loop"],
        ["{images}", "{bundle}", "--save-labels", "{images}"],
        ["{images}", "{bundle}", "--save-labels", "{tmp}/text.mp4"],
        ["{images}", "{flipped}"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], bundle: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.png").write_bytes((images / "a.png").read_bytes()[:50])
    flipped = tiny_bundle(tmp_path / "flipped.edgeseg").path
    flip_a_byte(flipped)
    places = {"tmp": str(tmp_path), "bundle": bundle, "images": str(images), "flipped": str(flipped)}
    assert main(["run", *(argument.format(**places) for argument in arguments), "--headless"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("edgeseg: error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_without_a_window_it_says_so_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    # No bundle and no source of these names exist: the window is asked for first.
    assert main(["run", "nowhere.mp4", "nowhere.edgeseg"]) == 3
    assert "--headless" in capsys.readouterr().err


def test_a_broken_image_among_others_is_named_and_left_out(
    bundle: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["run", str(images), bundle, "--headless", "--json", str(tmp_path / "report.json")]) == 0
    assert "b.png: truncated PNG" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (report["captured"], report["frames"], report["failed"]) == (3, 2, 1)


def test_ctrl_c_ends_an_endless_run_with_whole_files(bundle: str, tmp_path: Path) -> None:
    output, unfinished, report_path = (tmp_path / name for name in ("out.mkv", "out.unfinished.mkv", "report.json"))
    command = [sys.executable, "-m", "edgeseg.cli.main", "run", "synthetic://drive?size=64x64", bundle, "--headless"]
    command += ["--threads", "1", "--output", str(output), "--json", str(report_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not unfinished.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err == ""
    assert "(signal)" in out
    report = json.loads(report_path.read_bytes())
    with open_source(output) as video:
        assert len(list(video)) == report["frames"] > 0


HANGS = """
    import sys, time
    from argparse import Namespace
    from pathlib import Path
    import numpy as np
    from edgeseg import open_source
    from edgeseg.cli.run import finish
    from edgeseg.cli.stream_options import leave_if_hung
    from edgeseg.labels import CAMVID
    from edgeseg.runtime.fake import FakeSession
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.video.stream import StreamConfig, segment_stream

    def labels(frame_bgr):
        global calls
        calls += 1
        if calls > 20:
            # A frame that is still on its way when the signal comes counts as dropped.
            while len(lines.read_text().splitlines()) < 20:
                time.sleep(0.01)
            print("hangs", flush=True)
            time.sleep(1e6)
        return np.zeros(frame_bgr.shape[:2], np.uint8)

    calls, video = 0, Path(sys.argv[1])
    lines = video.with_suffix(".jsonl")
    with open_source("synthetic://drive?size=64x64") as source:
        with Segmenter.from_session(FakeSession(labels), CAMVID) as segmenter:
            report = segment_stream(source, segmenter, StreamConfig(headless=True, output=video, json_lines=lines))
            code = finish(Namespace(json=None), report, Path("road.edgeseg"), segmenter)
            leave_if_hung(report, code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_also_while_the_model_hangs(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "out.mkv"
    command = [sys.executable, "-c", textwrap.dedent(HANGS), str(output)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)  # two seconds, in virtual time: tests/video/test_loop_endings.py
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "")
    assert "20 frames in" in out
    assert "did not come back, and was left behind: inference" in out
    with open_source(output) as video:
        assert len(list(video)) == 20


@pytest.mark.parametrize(
    ("text", "expected"), [("33ms", 33.0), ("33", 33.0), ("0.033s", 33.0), ("16.7 ms", 16.7), (".5s", 500.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert milliseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "0", "-3", "ms", "33m", "nan", "inf", "1e400", "3 3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no duration above zero"):
        milliseconds(text)


def test_deadline_and_json_lines(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, report_path = tmp_path / "drive.jsonl", tmp_path / "report.json"
    arguments = ["run", "synthetic://drive?size=64x64&frames=5", bundle, "--headless", "--json-lines", str(lines)]
    assert main([*arguments, "--deadline", "0.001ms", "--in-flight", "2", "--json", str(report_path)]) == 0
    assert "deadline of 0.001 ms: missed by 5 frames, 100.0%" in capsys.readouterr().out
    assert json.loads(report_path.read_bytes())["deadline"] == {"ms": 0.001, "misses": 5, "share": 1.0}
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    assert sum("shares" in json.dumps(frame) for frame in frames) == 5


def test_a_file_in_real_time_is_a_live_source(bundle: str, tmp_path: Path) -> None:
    clip, report_path = tmp_path / "clip.avi", tmp_path / "report.json"
    write_video(clip, [grey_frame(level, (48, 64)) for level in range(0, 200, 20)], fps=100.0)
    arguments = ["run", str(clip), bundle, "--headless", "--realtime", "--loop", "--max-frames", "15"]
    assert main([*arguments, "--json", str(report_path)]) == 0
    report = json.loads(report_path.read_bytes())
    assert (report["frames"], report["ended"]) == (15, "limit of frames")
    assert report["captured"] == report["frames"] + report["dropped"]


def test_help_names_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    assert "space pause" in capsys.readouterr().out


@pytest.mark.real_data
def test_camvid_clip_gives_labels_for_each_frame(shared_data: Path, bundle: str, tmp_path: Path) -> None:
    clip = shared_data / "videos" / "camvid_0016E5_val_15fps.mp4"
    assert (
        main(["run", str(clip), bundle, "--headless", "--threads", "1", "--save-labels", str(tmp_path / "labels")]) == 0
    )
    names = (shared_data / "camvid" / "val.txt").read_text().split("\n")
    frames = len([name for name in names if name.strip()])
    written = sorted(path.name for path in (tmp_path / "labels").iterdir())
    assert written == [f"{index:06d}.png" for index in range(frames)]
