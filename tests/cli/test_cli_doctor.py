from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.cli.doctor import format_diagnosis
from edgeseg.cli.main import main
from edgeseg.doctor import Diagnosis
from edgeseg.doctor.advice import Obstacle
from edgeseg.doctor.host import Finding


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    report = json.loads((tmp_path / "doctor.json").read_bytes())
    assert report["opencv"]["version"] == cv2.__version__
    assert report["python"]["numpy"] == np.__version__
    assert cv2.__version__ in shown.out
    for command, answer in report["commands"].items():
        line = next(line for line in shown.out.splitlines() if f"edgeseg {command} " in line)
        assert ("yes" in line) == answer["works"]


def test_what_is_missing_and_what_to_mend() -> None:
    diagnosis = Diagnosis(
        {"x": Finding("Part", "two of them", {}, "remove one"), "y": Finding("Other", "fine", {})},
        {"verify": Obstacle("a runtime", "pip install it"), "run": None},
    )
    assert format_diagnosis(diagnosis).splitlines() == [
        "Part          two of them",
        "Other         fine",
        "",
        "Commands that work here:",
        "  edgeseg verify  no    needs a runtime: pip install it",
        "  edgeseg run     yes",
        "",
        "To mend:",
        "  Part: remove one",
    ]
