from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg import open_source
from edgeseg.labels import CAMVID
from edgeseg.types import Frame, Segmentation
from edgeseg.video.loop import run_loop

pytestmark = pytest.mark.real_data


class NoModel:
    """A segmenter that gives class 0 everywhere."""

    label_map = CAMVID

    def __call__(self, frame_bgr: Frame) -> Segmentation:
        return Segmentation(np.zeros(frame_bgr.shape[:2], np.uint8), 0.0)


def documented(folder: Path) -> dict[str, tuple[int, int]]:
    """File → frames that decode and frames that the container promises, from the table in the folder's README."""
    lines = (folder / "README.md").read_text().replace("*", "").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if ".mp4 |" in line]
    return {row[1]: (int(row[5]), int(row[6])) for row in rows}


def test_every_clip_runs_to_its_end(shared_data: Path) -> None:
    folder = shared_data / "videos"
    expected = documented(folder)
    assert expected
    for name, (decoded, promised) in expected.items():
        with open_source(folder / name) as source:
            report = run_loop(source, NoModel())
        assert (report.frames, report.dropped, report.failed) == (decoded, 0, 0), name
        notes = [f"{name}: the container promises {promised} frames, {decoded} could be decoded"]
        assert list(report.notes) == (notes if promised > decoded else [])
