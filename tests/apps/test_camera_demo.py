from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "apps" / "camera_demo.py"


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as its user does."""
    command = [sys.executable, str(DEMO), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_synthetic_drive_without_a_window(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg")
    report = tmp_path / "report.json"
    options = ["--headless", "--output", str(tmp_path / "out.mkv"), "--json", str(report)]
    result = demo("synthetic://drive?frames=3&size=64x64", str(bundle.path), *options)
    assert result.returncode == 0, result.stderr
    assert "3 frames in" in result.stdout
    assert json.loads(report.read_bytes())["frames"] == 3
    assert (tmp_path / "out.mkv").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "code"), [(["nowhere.mp4", "nowhere", "--headless"], 2), (["nowhere.mp4", "nowhere"], 3)]
)
def test_errors_are_one_line(arguments: list[str], code: int) -> None:
    result = demo(*arguments)
    assert result.returncode == code
    assert result.stderr.startswith("camera_demo: error: ")
    assert result.stderr.count("\n") == 1


def test_it_is_short() -> None:
    assert len(DEMO.read_text().splitlines()) < 120
