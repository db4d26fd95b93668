"""`edgeseg benchmark` for real, on a graph of microseconds: what it writes and how it ends, never how fast it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle

from edgeseg.cli.main import main

HW = (64, 80)
QUICK = ["--duration", "0.2", "--threads", "1"]


@pytest.fixture(autouse=True)
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest before the measurement is for people's figures."""
    monkeypatch.setattr("edgeseg.video.timing.RealTime.sleep", lambda *_: None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bundle(tmp_path_factory.mktemp("bundle") / "road.edgeseg", HW).path)


def test_everything_that_it_writes(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("report.json", "report.md", "report.html")]
    outputs = [
        word
        for option, path in zip(("--json", "--markdown", "--html"), files, strict=True)
        for word in (option, str(path))
    ]
    assert main(["benchmark", bundle, "--end-to-end", "--starts", "1", *QUICK, *outputs]) == 0
    report: dict[str, Any] = json.loads(files[0].read_bytes())
    for part in ("session", "end_to_end"):
        assert report[part]["fps"] > 0
        assert report[part]["latency_ms"] > 0
    assert (report["kind"], report["schema"]) == ("edgeseg benchmark", 1)
    (one,) = report["candidates"]
    assert (one["precision"], one["backend"], one["threads"]) == ("fp32", "onnxruntime", 1)
    assert one["frame_hw"] == one["graph_hw"] == list(HW)
    start = one["start_up"]
    parts = (start[name] for name in ("python_ms", "import_ms", "open_ms", "first_frame_ms"))
    assert sum(parts) == pytest.approx(start["total_ms"], abs=0.1)
    assert 10 < one["memory"]["first_frame_mib"] <= one["memory"]["peak_mib"] < 1000
    shown = capsys.readouterr()
    for text in (shown.out, files[1].read_text(), files[2].read_text()):
        for words in ("frame to labels", "camera loop", "frame age", "overlay", "ot measured", "--duration 600"):
            assert words in text
    assert shown.err == ""


def test_several_and_an_older_report(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.json"
    again = ["benchmark", bundle, "--starts", "0", *QUICK]
    assert main([*again, "--json", str(old)]) == 0
    new = tmp_path / "new.json"
    arguments = ["--precision", "fp32,fp16,int8", "--camera-size", "64x80", "--compare", str(old), "--json", str(new)]
    assert main([*again, *arguments]) == 0
    report = json.loads(new.read_bytes())
    assert [one["precision"] for one in report["candidates"]] == ["fp32", "fp16"]
    assert report["candidates"][1]["against_first"]["rounds"] == 20
    assert [one["label"] for one in report["comparison"]["candidates"]] == ["tiny fp32 onnxruntime"]
    assert any(one["what"] == "tiny int8 onnxruntime" for one in report["not_measured"])
    assert "times as fast as in" in capsys.readouterr().out
    assert main([*again[:-1], "2", "--compare", str(old)]) == 2
    assert "--threads 1 then, 2 now" in capsys.readouterr().err


def test_a_deadline_that_nothing_meets(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["benchmark", bundle, "--starts", "0", *QUICK, "--fail-over"]
    assert main([*arguments, "10s"]) == 0
    capsys.readouterr()
    assert main([*arguments, "0.001ms"]) == 1
    shown = capsys.readouterr()
    assert "frame to labels" in shown.out
    assert shown.err.count("\n") == 1
    assert "p95 of frame to labels must be at most 0.001 ms: tiny fp32 onnxruntime takes" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp33"], "'fp33' is none of"),
        (["--backend", "onnxruntime,abacus"], "'abacus' is none of"),
        (["--fail-over", "soon"], "is no duration"),
        (["--duration", "0"], "--duration 0"),
        (["--camera-fps", "30"], "Add --end-to-end"),
        (["--camera-size", "720p"], "is not a size"),
        (["--compare", "nowhere.json"], "cannot be read"),
        (["--precision", "int8"], "has no int8"),
    ],
)
def test_bad_input(bundle: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    try:
        code = main(["benchmark", bundle, *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
