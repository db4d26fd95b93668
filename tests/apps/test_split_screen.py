from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
from tiny_bundle import tiny_bundle

from edgeseg.labels import LabelMap

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "apps" / "split_screen.py"
DRIVE = "synthetic://drive?frames=3&size=64x96"


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_two_bundles_side_by_side(tmp_path: Path) -> None:
    first = tiny_bundle(tmp_path / "first.edgeseg")
    second = tiny_bundle(tmp_path / "second.edgeseg", operators={"fp32": "ArgMin"})
    video = tmp_path / "both.mkv"
    result = program(DRIVE, str(first.path), str(second.path), "--output", str(video))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3 frames: ")
    assert float(result.stdout.split("3 frames: ")[1].split("%")[0]) > 90  # brightest and darkest channel
    capture = cv2.VideoCapture(str(video))
    shapes = [capture.read()[1].shape for _ in range(3)]
    capture.release()
    assert shapes == [(64, 3 * 96, 3)] * 3


def test_a_bundle_agrees_with_itself(tmp_path: Path) -> None:
    bundle = str(tiny_bundle(tmp_path / "road.edgeseg").path)
    result = program(DRIVE, bundle, bundle, "--output", str(tmp_path / "both.mkv"), "--max-frames", "2")
    assert "2 frames: 0.00% of the pixels differ" in result.stdout


def test_other_classes_cannot_be_compared(tmp_path: Path) -> None:
    first = tiny_bundle(tmp_path / "first.edgeseg")
    other = LabelMap(("sky", "tree", "road"), ((0, 0, 255), (0, 255, 0), (255, 0, 0)))
    second = tiny_bundle(tmp_path / "second.edgeseg", label_map=other)
    result = program(DRIVE, str(first.path), str(second.path), "--output", str(tmp_path / "both.mkv"))
    assert result.returncode == 2
    assert "different classes" in result.stderr
    assert result.stderr.count("\n") == 1


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 120
