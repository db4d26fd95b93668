from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import tiny_bundle

from edgeseg.labels import CAMVID, LabelMap
from edgeseg.types import Segmentation
from edgeseg.video.drive_log import DriveLog
from edgeseg.video.drive_report import clock, drive_report
from edgeseg.video.health.base import Health
from edgeseg.video.results import FrameResult
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord
from edgeseg.video.stats import Ended, Percentiles, RunReport

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "apps" / "dashcam_report.py"


class Page(HTMLParser):
    """Tags, the addresses that they load, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def drive(log: DriveLog, seconds: int = 20, label_map: LabelMap = CAMVID) -> None:
    """10 frames a second; somebody is ahead from 5 to 7 s, the camera frozen from 12 to 15 s."""
    picture = np.full((90, 120, 3), 90, np.uint8)
    for index in range(10 * seconds):
        second = index / 10
        scene = Scene({label_map.names[0]: 0.25, label_map.names[1]: 0.75}, person_ahead=5 <= second < 7)
        health = Health(("frozen",) if 12 <= second < 15 else ())
        record = FrameRecord(index, picture, 0.0, str(index))
        labels = Segmentation(np.zeros((90, 120), np.uint8), 20.0)
        log.write(FrameResult(record, labels, picture_bgr=picture, scene=scene, health=health))


def run(source: str = "drive.mp4", notes: tuple[str, ...] = ()) -> RunReport:
    stages = {"inference": Percentiles(20, 25, 30), "total": Percentiles(30, 36, 41)}
    return RunReport(source, 200, 200, 0, 0, 20.0, stages, Ended.SOURCE, notes)


def test_the_log_knows_what_happened_when() -> None:
    log = DriveLog(fps=10)
    drive(log)
    assert [(i.kind, i.begin_s, i.end_s) for i in log.incidents] == [("person_ahead", 5.0, 7.0), ("frozen", 12.0, 15.0)]
    assert log.end_s == 19.9
    assert len(log.seconds) == 20
    assert log.seconds[3].mean_shares()["building"] == pytest.approx(0.75)


def test_the_log_of_a_long_drive_stays_small() -> None:
    log = DriveLog(fps=10)
    drive(log, seconds=400)
    assert 8 <= len(log.views) <= 16
    gaps = np.diff([view.time_s for view in log.views])
    assert gaps.max() < 2.1 * gaps.min()


def test_the_page_tells_it() -> None:
    log = DriveLog(fps=10)
    drive(log)
    html = drive_report(log, run(), CAMVID, "A drive")
    page = Page(html)
    assert "person on the road ahead, 2.0 s" in page.text
    assert "frozen, 3.0 s" in page.text
    assert "building 75.0%" in page.text
    assert "30 ms" in page.text
    assert page.tags.count("svg") == 3
    assert page.tags.count("img") == 2 + len(log.views)


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    log = DriveLog(fps=10)
    drive(log)
    html = drive_report(log, run(), CAMVID, "A drive")
    page = Page(html)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert "default-src 'none'" in html
    assert not re.search(r"https?://|url\(|@import", html)


def test_names_from_outside_are_text() -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    label_map = LabelMap((evil, "road"), ((1, 2, 3), (4, 5, 6)))
    log = DriveLog(fps=10)
    drive(log, label_map=label_map)
    page = Page(drive_report(log, run(evil, (evil,)), label_map, evil))
    assert "script" not in page.tags
    assert page.text.count(evil) == 5  # title, heading, source, class, note


def test_an_empty_drive_is_a_page_too() -> None:
    report = RunReport("none", 0, 0, 0, 0, 0.0, {}, Ended.SOURCE)
    assert "Nobody on the road ahead" in Page(drive_report(DriveLog(), report, CAMVID, "Nothing")).text


def test_times_read_as_on_a_clock() -> None:
    assert [clock(5), clock(65.9), clock(3723)] == ["0:05", "1:05", "1:02:03"]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_program_writes_the_page(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg")
    page = tmp_path / "drive.html"
    result = program("synthetic://drive?frames=4&size=64x64", str(bundle.path), "--output", str(page))
    assert result.returncode == 0, result.stderr
    assert "4 frames" in result.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_errors_are_one_line() -> None:
    result = program("nowhere.mp4", "nowhere")
    assert result.returncode == 2
    assert result.stderr.startswith("dashcam_report: error: ")
    assert result.stderr.count("\n") == 1


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 120
