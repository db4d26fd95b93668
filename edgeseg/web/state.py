"""What the page says of a run, as plain data: one look at everything that is known of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeseg import __version__
from edgeseg.labels import LabelMap
from edgeseg.telemetry import Sensors, Telemetry
from edgeseg.video.colours import display_palette
from edgeseg.video.controls import Controls
from edgeseg.video.overlay import MODES
from edgeseg.video.sources import Source
from edgeseg.video.stats import Percentiles
from edgeseg.web.vitals import View, Vitals, to_plain

LIVE, PAUSED, STALE, STARTING = "live", "paused", "stale", "starting"


@dataclass(frozen=True)
class Subject:
    """The run that the page is about."""

    source: Source
    label_map: LabelMap
    controls: Controls
    vitals: Vitals
    runtime: Mapping[str, str] = field(default_factory=dict)
    """What runs, for the page's foot and the metrics: bundle, backend, precision."""
    watches_camera: bool = True
    """Whether the loop looks for camera faults."""
    sensors: Sensors = field(default_factory=Sensors)
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    """Tells a page that the server was started anew."""


def status(subject: Subject, view: View) -> str:
    """`LIVE`, or why the picture does not move."""
    if subject.controls.paused:
        return PAUSED
    if view.stale:
        return STALE
    return STARTING if view.result is None else LIVE


def problems(subject: Subject, view: View) -> list[str]:
    """Why nobody should trust the picture now, one reason each; none where it is well. A pause is no problem."""
    found = []
    now = status(subject, view)
    if now == STARTING:
        found.append("starting: no frame yet")
    if now == STALE:
        since = "no frame yet" if view.since_frame_s is None else f"no frame for {view.since_frame_s:.1f} s"
        found.append(f"stale: {since}")
    connection = subject.source.state
    if connection.link != "connected":
        found.append(f"source {connection.link}")
    if view.result is not None:
        found += [f"camera fault: {fault}" for fault in view.result.health.faults]
        if not view.result.segmentation.valid:
            found.append("invalid: the model computed a NaN or an infinity")
    return found


def state(subject: Subject, view: View, device: Telemetry, since: int = 0) -> dict[str, Any]:
    """Everything for the page, with the charts' points after number `since`."""
    result, pulse, controls = view.result, view.pulse, subject.controls
    scene = None if result is None else result.scene
    points = [point for point in view.points if point.number > since]
    return {
        "run": subject.run,
        "version": __version__,
        "runtime": dict(subject.runtime),
        "source": subject.source.uri,
        "link": subject.source.state.link,
        "reconnects": subject.source.state.reconnects,
        "status": status(subject, view),
        "problems": problems(subject, view),
        "degraded": pulse.degraded,
        "since_frame_s": None if view.since_frame_s is None else round(view.since_frame_s, 2),
        "fps": round(pulse.fps, 1),
        "age_ms": round(pulse.age_ms, 1),
        "age_p95_ms": round(Percentiles.of(pulse.recent_age_ms).p95, 1) if pulse.recent_age_ms else None,
        "stages_ms": {stage: round(value, 1) for stage, value in pulse.stages_ms.items()},
        "captured": pulse.captured,
        "processed": pulse.processed,
        "dropped": pulse.dropped,
        "failed": pulse.failed,
        "deadline_ms": pulse.deadline_ms,
        "deadline_misses": pulse.deadline_misses,
        "health": None if result is None or not subject.watches_camera else list(result.health.faults),
        "person_ahead": scene is not None and scene.person_ahead,
        "people": 0 if scene is None else len(scene.people),
        "device": device.to_dict(),
        "paused": controls.paused,
        "mode": controls.mode,
        "modes": list(MODES),
        "drawn": None if controls.classes is None else list(controls.classes),
        "classes": [
            {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, colour in zip(subject.label_map.names, display_palette(subject.label_map), strict=True)
        ],
        "now_s": round(view.now_s, 2),
        "points": [to_plain(point) for point in points],
        "last_point": view.points[-1].number if view.points else 0,
        "events": [[round(event.at_s, 1), event.name] for event in view.events],
    }
