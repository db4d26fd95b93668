"""Metrics of a run in Prometheus' text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

Names as prometheus.io/docs/practices/naming asks: base units, and `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from edgeseg import __version__
from edgeseg.telemetry import Telemetry
from edgeseg.video.health.base import FAULTS
from edgeseg.web.state import LIVE, Subject, status
from edgeseg.web.vitals import AGE_BUCKETS_S, View

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Samples = Iterable[tuple[Mapping[str, str], float]]


def exposition(subject: Subject, view: View, device: Telemetry, viewers: int) -> str:
    """All metrics. What is not known is left out, as a zero would be read as a measurement."""
    pulse = view.pulse
    lines = [
        *_metric("build_info", "gauge", "What runs.", [({"version": __version__, **subject.runtime}, 1)]),
        *_metric("live", "gauge", "1 while new pictures come, else 0.", _one(status(subject, view) == LIVE)),
        *_metric("frames_captured_total", "counter", "Frames that the source gave.", _one(pulse.captured)),
        *_metric(
            "frames_total",
            "counter",
            "Captured frames by what became of them.",
            [({"outcome": name}, getattr(pulse, name)) for name in ("processed", "dropped", "failed")],
        ),
        *_metric("deadline_misses_total", "counter", "Frames older than the deadline.", _one(pulse.deadline_misses)),
        *_metric(
            "source_reconnects_total", "counter", "Lost sources found again.", _one(subject.source.state.reconnects)
        ),
        *_metric("frame_rate_hertz", "gauge", "Frames a second, smoothed.", _one(pulse.fps)),
        *_age(view),
        *_metric(
            "stage_latency_seconds",
            "gauge",
            "Latency of the newest frame by stage of the loop.",
            [({"stage": stage}, value / 1e3) for stage, value in pulse.stages_ms.items()],
        ),
        *_metric("viewers", "gauge", "Browsers that watch.", _one(viewers)),
        *_metric(
            "temperature_celsius",
            "gauge",
            "Temperature by sensor.",
            [({"sensor": name}, value) for name, value in device.temperatures_c.items()],
        ),
        *_metric(
            "power_watts",
            "gauge",
            "Power by rail; rails may be parts of others.",
            [({"rail": name}, value) for name, value in device.power_w.items()],
        ),
    ]
    if view.since_frame_s is not None:
        lines += _metric("last_frame_seconds", "gauge", "Time since the newest frame.", _one(view.since_frame_s))
    if view.result is not None:
        faults = view.result.health.faults
        if subject.watches_camera:
            found = [({"fault": fault}, fault in faults) for fault in FAULTS]
            lines += _metric("camera_fault", "gauge", "1 while the camera has this fault.", found)
        if view.result.scene is not None:
            scene = view.result.scene
            shares = [({"class": name}, share) for name, share in scene.shares.items()]
            lines += _metric("class_share_ratio", "gauge", "Share of the picture by class.", shares)
            lines += _metric(
                "person_ahead", "gauge", "1 while somebody is on the road ahead.", _one(scene.person_ahead)
            )
    return "\n".join(lines) + "\n"


def _age(view: View) -> list[str]:
    """The histogram of frame ages; buckets count all frames up to their bound."""
    name = "edgeseg_frame_age_seconds"
    bounds = [*(f"{bound:g}" for bound in AGE_BUCKETS_S), "+Inf"]
    counts = list(accumulate(view.age_buckets))
    return [
        f"# HELP {name} From a frame's capture to its picture.",
        f"# TYPE {name} histogram",
        *(f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)),
        f"{name}_sum {view.age_sum_s:.6g}",
        f"{name}_count {counts[-1]}",
    ]


def _metric(name: str, kind: str, text: str, samples: Samples) -> list[str]:
    lines = [f"edgeseg_{name}{_labels(labels)} {float(value):.12g}" for labels, value in samples]
    return [f"# HELP edgeseg_{name} {text}", f"# TYPE edgeseg_{name} {kind}", *lines] if lines else []


def _one(value: float) -> Samples:
    return [({}, value)]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
