from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_stream import ScriptedSource
from served_run import ManualClock, ask, frame_result, made_subject

from edgeseg.telemetry import Telemetry
from edgeseg.video.health.base import FAULTS, Health
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import SourceState
from edgeseg.web.access import Access
from edgeseg.web.app import create_app
from edgeseg.web.hub import Hub
from edgeseg.web.prometheus import exposition
from edgeseg.web.state import Subject, problems, state, status
from edgeseg.web.vitals import PERIOD_S, Vitals

HOST = [("Host", "localhost")]
SCENE = Scene({"sky": 0.25, "road": 0.5, "pedestrian": 0.05}, person_ahead=True, event="person_ahead")


class LostCamera(ScriptedSource):
    """A source that is being opened again."""

    @property
    def state(self) -> SourceState:
        return SourceState("reconnecting", attempt=2, reconnects=3, reason="no answer")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def subject(tmp_path: Path, clock: ManualClock) -> Subject:
    return made_subject(tmp_path, clock=clock)


@pytest.fixture
def hub(subject: Subject) -> Iterator[Hub]:
    with Hub(subject.vitals) as made:
        yield made


def get(hub: Hub, subject: Subject, path: str) -> tuple[int, Any]:
    answer = ask(create_app(hub, subject, Access("127.0.0.1")), path, headers=HOST)
    return answer.status, answer.body.decode()


def test_the_status_of_a_run(hub: Hub, subject: Subject, clock: ManualClock) -> None:
    seen = []

    def look() -> None:
        code, text = get(hub, subject, "/health")
        seen.append((code, *json.loads(text).values()))

    look()
    hub.write(frame_result(0))
    look()
    clock.now += 0.6
    hub.waiting(frame_result(0).record.frame_bgr)
    look()
    hub.write(frame_result(1))
    look()
    clock.now += 2.1  # not a word from the loop
    look()
    subject.controls.paused = True
    look()
    assert seen == [
        (503, "starting", ["starting: no frame yet"]),
        (200, "live", []),
        (503, "stale", ["stale: no frame for 0.6 s"]),
        (200, "live", []),
        (503, "stale", ["stale: no frame for 2.1 s"]),
        (200, "paused", []),
    ]


def test_a_camera_fault_a_lost_source_and_an_invalid_frame_are_problems(tmp_path: Path) -> None:
    subject = made_subject(tmp_path, source=LostCamera([]))
    subject.vitals.note(frame_result(0, health=Health(("frozen", "blurred")), valid=False))
    view = subject.vitals.view()
    assert problems(subject, view) == [
        "source reconnecting",
        "camera fault: frozen",
        "camera fault: blurred",
        "invalid: the model computed a NaN or an infinity",
    ]
    said = state(subject, view, Telemetry())
    assert (said["link"], said["reconnects"], said["health"]) == ("reconnecting", 3, ["frozen", "blurred"])


def test_charts_have_a_point_for_each_period_and_a_gap_where_no_frame_came(clock: ManualClock) -> None:
    vitals = Vitals(("road", "sky", "dragon"), clock)
    clock.now = 7.0
    for index in range(8):  # two periods of four frames
        scene = Scene({"road": 0.1 * index, "sky": 0.5})
        vitals.note(frame_result(index, age_ms=10.0 * (index + 1), scene=scene))
        clock.now += 0.125
    clock.now += 1.0
    points = vitals.view().points
    assert [point.number for point in points] == [1, 2, 3, 4]
    assert [point.end_s for point in points] == pytest.approx([7.5, 8.0, 8.5, 9.0])
    assert [point.fps for point in points] == [10.0, 10.0, 0.0, 0.0]
    assert [point.age_ms for point in points] == [40.0, 80.0, None, None]
    assert [point.age_p95_ms for point in points] == [40.0, 80.0, None, None]
    assert points[0].shares == pytest.approx((0.15, 0.5, 0.0))
    assert points[1].shares == pytest.approx((0.55, 0.5, 0.0))
    assert points[2].shares == ()


def test_a_slow_loop_has_no_zeros_between_its_frames_but_one_that_stopped_has(clock: ManualClock) -> None:
    vitals = Vitals(("road",), clock)
    slow = frame_result(0)
    slow = replace(slow, pulse=replace(slow.pulse, fps=1.0))
    for _ in range(4):
        vitals.note(slow)
        clock.now += 1.0
    assert [point.fps for point in vitals.view().points] == [1.0] * 8
    assert [point.age_ms for point in vitals.view().points] == [40.0, None] * 4
    clock.now += 4.0
    assert [point.fps for point in vitals.view().points[8:]] == [1.0] * 4 + [0.0] * 4


def test_charts_reach_two_minutes_back_and_a_long_silence_costs_nothing(clock: ManualClock) -> None:
    vitals = Vitals(("road",), clock)
    vitals.note(frame_result(0))
    clock.now += 30 * 86400
    points = vitals.view().points
    assert len(points) * PERIOD_S == 120
    assert points[-1].end_s == pytest.approx(clock.now, abs=PERIOD_S)
    clock.now += PERIOD_S
    assert len(vitals.view().points) * PERIOD_S == 120


def test_a_page_asks_for_the_points_it_has_not(hub: Hub, subject: Subject, clock: ManualClock) -> None:
    for index in range(16):
        hub.write(frame_result(index, scene=SCENE))
        clock.now += 0.125
    whole = json.loads(get(hub, subject, "/api/state")[1])
    assert (len(whole["points"]), whole["last_point"]) == (4, 4)
    assert whole["points"][0] == [0.5, 10.0, 40.0, 40.0, [0.25, 0, 0, 0.5, 0, 0, 0, 0, 0, 0.05, 0]]
    assert json.loads(get(hub, subject, "/api/state?since=3")[1])["points"] == whole["points"][3:]
    for odd in ("x", "-1", "1e9", "²", ""):
        assert len(json.loads(get(hub, subject, f"/api/state?since={odd}")[1])["points"]) == 4
    assert [name for _, name in whole["events"]] == ["person_ahead"] * 16
    assert whole["person_ahead"] is True
    assert (whole["age_ms"], whole["age_p95_ms"]) == (40.0, 80.0)
    assert whole["classes"][3]["name"] == "road"
    assert re.fullmatch("#[0-9a-f]{6}", whole["classes"][3]["colour"])


def test_the_page_steers_the_run(hub: Hub, subject: Subject) -> None:
    app = create_app(hub, subject, Access("127.0.0.1"))
    wish = b'{"paused": true, "mode": "labels", "classes": ["road"]}'
    fields = [*HOST, ("Content-Type", "application/json")]
    assert ask(app, "/api/control", method="POST", headers=fields, body=wish).status == 204
    controls = subject.controls
    assert (controls.paused, controls.mode, controls.classes) == (True, "labels", ("road",))
    torn = b'{"paused": false, "mode": "off", "classes": ["dragon"]}'
    assert ask(app, "/api/control", method="POST", headers=fields, body=torn).status == 400
    assert (controls.paused, controls.mode, controls.classes) == (True, "labels", ("road",))
    said = json.loads(get(hub, subject, "/api/state")[1])
    assert (said["status"], said["mode"], said["drawn"]) == ("paused", "labels", ["road"])
    assert status(subject, subject.vitals.view()) == "paused"


def test_a_snapshot_before_the_first_picture_comes_later(hub: Hub, subject: Subject) -> None:
    assert get(hub, subject, "/snapshot.png")[0] == 503
    hub.write(frame_result(0))
    answer = ask(create_app(hub, subject, Access("127.0.0.1")), "/snapshot.png", headers=HOST)
    assert answer.headers["content-disposition"] == 'attachment; filename="edgeseg.png"'
    assert answer.body.startswith(b"\x89PNG")


SAMPLE = re.compile(
    r'(edgeseg_[a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+)'
)


def parse(text: str) -> dict[str, float]:
    """Samples of an exposition, with the rules of the format: types before samples, each series once."""
    samples: dict[str, float] = {}
    kinds: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            family = re.sub(r"_(bucket|sum|count)$", "", match[1]) if "frame_age" in match[1] else match[1]
            assert family in kinds, line
            assert (kinds[family] == "counter") == match[1].endswith("_total"), line
            series = match[1] + (match[2] or "")
            assert series not in samples
            samples[series] = float(match[3])
    return samples


def test_metrics(subject: Subject) -> None:
    for index, age_ms in enumerate((5.0, 40.0, 40.0, 99.0, 5000.0)):
        subject.vitals.note(frame_result(index, age_ms=age_ms, scene=SCENE, health=Health(("frozen",))))
    device = Telemetry({"cpu-thermal": 51.25}, {"VDD_IN": 7.25})
    samples = parse(exposition(subject, subject.vitals.view(), device, viewers=3))
    assert {name: samples[f"edgeseg_{name}"] for name in ("live", "viewers", "frames_captured_total")} == {
        "live": 1,
        "viewers": 3,
        "frames_captured_total": 5,
    }
    assert samples['edgeseg_frames_total{outcome="processed"}'] == 5
    assert samples["edgeseg_frame_rate_hertz"] == 10
    assert samples['edgeseg_stage_latency_seconds{stage="inference"}'] == pytest.approx(0.03)
    buckets = [
        samples[f'edgeseg_frame_age_seconds_bucket{{le="{bound}"}}'] for bound in ("0.01", "0.05", "0.1", "2", "+Inf")
    ]
    assert buckets == [1, 3, 4, 4, 5]
    assert samples["edgeseg_frame_age_seconds_count"] == 5
    assert samples["edgeseg_frame_age_seconds_sum"] == pytest.approx(5.184)
    faults = {fault: samples[f'edgeseg_camera_fault{{fault="{fault}"}}'] for fault in FAULTS}
    assert faults == {fault: float(fault == "frozen") for fault in FAULTS}
    assert samples['edgeseg_class_share_ratio{class="road"}'] == 0.5
    assert samples["edgeseg_person_ahead"] == 1
    assert samples['edgeseg_temperature_celsius{sensor="cpu-thermal"}'] == 51.25
    assert samples['edgeseg_power_watts{rail="VDD_IN"}'] == 7.25


def test_a_camera_that_nobody_watches_is_not_called_healthy(subject: Subject) -> None:
    unwatched = replace(subject, watches_camera=False)
    subject.vitals.note(frame_result(0))
    assert state(subject, subject.vitals.view(), Telemetry())["health"] == []
    assert state(unwatched, subject.vitals.view(), Telemetry())["health"] is None
    assert "camera_fault" not in exposition(unwatched, subject.vitals.view(), Telemetry(), viewers=0)


def test_metrics_leave_out_what_is_not_known_and_escape_names(subject: Subject) -> None:
    odd = replace(subject, runtime={"bundle": 'a"b\\c\nd'})
    samples = parse(exposition(odd, odd.vitals.view(), Telemetry(), viewers=0))
    assert samples["edgeseg_live"] == 0
    assert not [name for name in samples if "share" in name or "celsius" in name or "watts" in name or "fault" in name]
    assert any(r'bundle="a\"b\\c\nd"' in name for name in samples)


def test_metrics_and_pages_have_their_types(hub: Hub, subject: Subject) -> None:
    app = create_app(hub, subject, Access("127.0.0.1"))
    types = {
        path: ask(app, path, headers=HOST).headers["content-type"]
        for path in ("/", "/app.js", "/charts.js", "/style.css", "/icon.svg", "/metrics", "/health")
    }
    assert types == {
        "/": "text/html; charset=utf-8",
        "/app.js": "text/javascript; charset=utf-8",
        "/charts.js": "text/javascript; charset=utf-8",
        "/style.css": "text/css; charset=utf-8",
        "/icon.svg": "image/svg+xml",
        "/metrics": "text/plain; version=0.0.4; charset=utf-8",
        "/health": "application/json",
    }


def test_the_page_asks_for_nothing_from_outside() -> None:
    folder = Path(__file__).resolve().parents[2] / "edgeseg" / "web" / "static"
    for path in folder.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\bon[a-z]+=|style=|eval\(|innerHTML", text), path.name
