"""Fifty pulled plugs for real: what `benchmarks/reconnect.py` measures holds, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg.video.opencv import opencv_build

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "reconnect.py"


@pytest.mark.slow
@pytest.mark.skipif(not opencv_build().ffmpeg, reason="this OpenCV has no FFmpeg")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read memory and descriptors from")
def test_fifty_plugs(tmp_path: Path) -> None:
    """A process of its own: nobody else opens files or allocates in it."""
    written = tmp_path / "reconnect.json"
    subprocess.run([sys.executable, SCRIPT, "--times", "50", "--json", written], check=True, capture_output=True)
    measured = json.loads(written.read_text())
    assert measured["times"] == 50
    assert measured["recovery_p95_s"] <= 3.0
    assert measured["abandoned_max_s"] <= 2.5
    assert measured["threads_leaked"] == 0
    assert measured["descriptors_leaked"] == 0
    assert measured["rss_growth_mb"] <= 5.0
