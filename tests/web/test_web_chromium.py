"""The page in Debian's Chromium, driven by Playwright, over a whole run of the loop.

Screenshots are kept in build/artefacts.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.telemetry import Sensors
from edgeseg.types import Frame, Labels
from edgeseg.video.controls import Controls
from edgeseg.video.health import HealthMonitor
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.web.hub import Hub
from edgeseg.web.server import LivePage, ServeConfig
from edgeseg.web.state import Subject
from edgeseg.web.vitals import Vitals

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")

ARTEFACTS = Path(__file__).resolve().parents[2] / "build" / "artefacts"
PATIENCE_MS = 60_000
"""For what takes a moment, also on a machine that is busy."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Camera(Source):
    """A drive of some seconds, over and over, at 15 frames a second; it can be held on one frame, and stalled."""

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__("synthetic://drive", fps=15.0)
        self._frames = frames
        self._closed = threading.Event()
        self.works = threading.Event()
        self.works.set()
        self.held = False

    def _take(self) -> FrameRecord | None:
        self._closed.wait(1 / 15)
        while not self.works.wait(0.05) and not self._closed.is_set():
            pass
        if self._closed.is_set():
            return None
        frame = self._frames[0 if self.held else self.captured % len(self._frames)]
        return FrameRecord(self.captured, frame, self.clock(), f"{self.captured:06d}")

    def close(self) -> None:
        self._closed.set()


@dataclass
class Stage:
    """A page, and the run that it shows."""

    page: Page
    browser: Browser
    address: str
    camera: Camera
    controls: Controls


def sensors(root: Path) -> Sensors:
    """The files of a Jetson Orin Nano's sensors."""
    zone, rails = root / "sys/class/thermal/thermal_zone0", root / "sys/class/hwmon/hwmon0"
    for folder, values in (
        (zone, {"type": "tj-thermal", "temp": "51250"}),
        (rails, {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "5056", "curr1_input": "1440"}),
    ):
        folder.mkdir(parents=True)
        for name, value in values.items():
            (folder / name).write_text(value)
    return Sensors(root)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser here, looked for: {', '.join(BROWSERS)}; Debian's package is chromium")
    drive = SyntheticDrive(size_hw=(270, 480), seed=4)
    shots = [drive.frame(index) for index in range(0, 90, 2)]
    known: dict[bytes, Labels] = {frame[::30, ::30].tobytes(): labels for frame, labels in shots}

    def truth(frame: Frame) -> Labels:
        return known[frame[::30, ::30].tobytes()]

    camera, controls, vitals = Camera([frame for frame, _ in shots]), Controls(CAMVID), Vitals(CAMVID.names)
    runtime = {"bundle": "drive.edgeseg", "backend": "fake", "precision": "fp32"}
    subject = Subject(camera, CAMVID, controls, vitals, runtime, sensors=sensors(tmp_path_factory.mktemp("device")))
    segmenter = Segmenter.from_session(FakeSession(truth), CAMVID)
    with Hub(vitals) as hub, LivePage(hub, subject, ServeConfig(port=0)) as server:
        loop = threading.Thread(
            target=run_loop,
            args=(camera, segmenter, [hub]),
            kwargs={
                "overlay": Overlay(CAMVID),
                "analyser": SceneAnalyser(CAMVID),
                "monitor": HealthMonitor(camera.fps),
                "controls": controls,
            },
        )
        loop.start()
        try:
            with sync_api.sync_playwright() as playwright:
                # Chromium's own sandbox does not work for root, as in a container.
                flags = ["--no-sandbox"] if os.geteuid() == 0 else []
                browser = playwright.chromium.launch(executable_path=program, args=[*flags, "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
                page.set_default_timeout(PATIENCE_MS)
                complaints: list[str] = []
                page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
                page.on("pageerror", lambda error: complaints.append(str(error)))
                page.goto(server.addresses[0])
                yield Stage(page, browser, server.addresses[0], camera, controls)
                browser.close()
                # No broken script, and nothing that the content security policy had to stop.
                broken = [said for said in complaints if not said.startswith("warning")]
                assert [said for said in broken if "ERR_INTERNET_DISCONNECTED" not in said] == []
        finally:
            camera.works.set()
            controls.stop()
            loop.join()


PICTURE = """() => {
  const canvas = document.getElementById("picture"), half = Math.round(canvas.height / 2);
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let hash = 0, count = 0;
  const sums = [0, 0, 0];
  for (let at = 0; at < data.length; at++) hash = (31 * hash + data[at]) | 0;
  for (let at = 4 * canvas.width * half; at < data.length; at += 4, count++)
    for (const channel of [0, 1, 2]) sums[channel] += data[at + channel];
  return [hash, sums.map((sum) => sum / count)];
}"""
"""A number made of all pixels; and the mean red, green and blue of the lower half, which no legend covers."""

COLOURED = """(id) => {
  const canvas = document.getElementById(id);
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.subarray(at, at + 4);
    if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) count++;
  }
  return count;
}"""


def pixels(page: Page) -> int:
    """A number made of all pixels of the picture on the page."""
    page.wait_for_selector("#picture[data-number]")
    return int(page.evaluate(PICTURE)[0])


def mean_colour(page: Page) -> tuple[float, ...]:
    """Red, green and blue of the picture's lower half."""
    return tuple(page.evaluate(PICTURE)[1])


def wait_for_number(page: Page, further: int = 5) -> None:
    """Wait until so many pictures more were shown."""
    now = page.evaluate("() => Number(document.getElementById('picture').dataset.number ?? 0)")
    page.wait_for_function(
        "(number) => Number(document.getElementById('picture').dataset.number) >= number", arg=now + further
    )


def wait_for_colour(page: Page, chart: str, more_than: int) -> None:
    """Wait until a chart has more pixels with colours than so many."""
    page.wait_for_function(f"([id, count]) => ({COLOURED})(id) > count", arg=[chart, more_than])


def wait_for_text(page: Page, selector: str, text: str) -> None:
    page.wait_for_function("([at, text]) => document.querySelector(at).innerText.includes(text)", arg=[selector, text])


def screenshot(page: Page, name: str) -> None:
    """Keep what a person sees who has just opened the page."""
    page.evaluate("() => scrollTo(0, 0)")
    page.screenshot(path=ARTEFACTS / name)


def test_the_picture_moves(stage: Stage) -> None:
    wait_for_text(stage.page, "#status", "LIVE")
    first = pixels(stage.page)
    wait_for_number(stage.page)
    assert pixels(stage.page) != first
    assert stage.page.get_attribute("#stage", "data-state") == "live"


def test_the_charts_fill_and_figures_show(stage: Stage) -> None:
    page = stage.page
    for chart in ("shares-chart", "age-chart", "fps-chart"):
        wait_for_colour(page, chart, 40)
    before = page.evaluate(COLOURED, "shares-chart")
    wait_for_colour(page, "shares-chart", before + 200)
    assert page.inner_text("#temperature") == "51"
    assert page.inner_text("#hottest") == "tj-thermal"
    assert page.inner_text("#power") == "7.3"
    assert float(page.inner_text("#age")) > 0
    road = page.locator("#classes button", has_text="road")
    assert int(road.inner_text().split()[-2]) > 5
    page.locator("summary").click()
    wait_for_text(page, "#tables", "VDD_IN")
    page.locator("summary").click()


def test_pause_stands_still_and_says_so(stage: Stage) -> None:
    page = stage.page
    page.click("#pause")
    wait_for_text(page, "#banner", "PAUSED")
    assert stage.controls.paused
    wait_for_text(page, "#status", "PAUSED")
    page.wait_for_timeout(1200)
    still = pixels(page)
    page.wait_for_timeout(1200)
    assert pixels(page) == still
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    screenshot(page, "live_page_paused.png")
    page.click("#pause")
    page.wait_for_selector("#banner", state="hidden")
    wait_for_number(page)
    assert pixels(page) != still


def test_overlay_and_class_filter_change_the_picture(stage: Stage) -> None:
    page, camera = stage.page, stage.camera
    camera.held = True
    seen: dict[str, tuple[float, ...]] = {}
    for name, pressed in {
        "off": "#modes button:text-is('off')",
        "labels": "#modes button:text-is('labels')",
        "blend": "#modes button:text-is('blend')",
        "none": "#none",
        "road": "#classes button:has-text('road')",
        "all": "#all",
    }.items():
        page.click(pressed)
        wait_for_number(page, 8)
        seen[name] = mean_colour(page)
    wait_for_text(page, "#banner", "CAMERA FAULT: frozen")
    wait_for_text(page, "#health", "camera: frozen")
    camera.held = False
    wait_for_text(page, "#health", "camera healthy")

    def apart(one: str, other: str) -> float:
        return max(abs(a - b) for a, b in zip(seen[one], seen[other], strict=True))

    assert stage.controls.classes is None
    assert min(apart("off", "labels"), apart("off", "blend"), apart("labels", "blend")) > 4
    assert apart("none", "off") < apart("road", "off") < apart("all", "off")
    assert apart("all", "blend") < 2


def test_a_stalled_source_is_called_stale(stage: Stage) -> None:
    page, camera = stage.page, stage.camera
    camera.works.clear()
    wait_for_text(page, "#banner", "STALE")
    assert page.get_attribute("#stage", "data-state") == "stale"
    screenshot(page, "live_page_stale.png")
    camera.works.set()
    page.wait_for_selector("#banner", state="hidden")
    wait_for_text(page, "#status", "LIVE")


def test_a_snapshot_is_a_picture(stage: Stage) -> None:
    with stage.page.expect_download() as download:
        stage.page.click("#snapshot")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_screenshots_of_desktop_and_phone(stage: Stage) -> None:
    screenshot(stage.page, "live_page.png")
    phone = stage.browser.new_page(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True, color_scheme="dark"
    )
    phone.set_default_timeout(PATIENCE_MS)
    phone.goto(stage.address)
    wait_for_text(phone, "#status", "LIVE")
    wait_for_colour(phone, "shares-chart", 40)
    phone.screenshot(path=ARTEFACTS / "live_page_phone.png", full_page=True)
    phone.set_viewport_size({"width": 360, "height": 640})
    assert phone.evaluate("document.scrollingElement.scrollWidth") <= 360
    touched = ".controls button, .controls a, #classes button"
    heights: list[float] = phone.evaluate(
        f"Array.from(document.querySelectorAll('{touched}'), (part) => part.offsetHeight)"
    )
    assert len(heights) == 2 + 4 + len(CAMVID)
    assert min(heights) >= 44, "a finger needs 44 pixels"
    names: list[Any] = phone.evaluate(
        "Array.from(document.querySelectorAll('button'), (part) => part.innerText.trim())"
    )
    assert all(names)
    phone.close()


def test_a_page_without_its_server_says_so_and_finds_it_again(stage: Stage) -> None:
    page = stage.page
    context = page.context
    context.set_offline(True)
    wait_for_text(page, "#banner", "CONNECTION LOST")
    wait_for_text(page, "#status", "NO CONNECTION")
    lost_at = page.evaluate("() => Number(document.getElementById('picture').dataset.number)")
    context.set_offline(False)
    wait_for_text(page, "#status", "LIVE")
    wait_for_number(page)
    assert page.evaluate("() => Number(document.getElementById('picture').dataset.number)") > lost_at
    assert "CONNECTION LOST" not in page.inner_text("#banner")
