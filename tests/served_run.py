"""What tests of the live page need: a run to show, made by hand, and requests to its application without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scripted_stream import ScriptedSource, grey_frame

from edgeseg.labels import CAMVID
from edgeseg.telemetry import Sensors
from edgeseg.types import Frame, Segmentation
from edgeseg.video.controls import Controls
from edgeseg.video.health.base import HEALTHY, Health
from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.web.state import Subject
from edgeseg.web.vitals import Vitals


class ManualClock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def frame_result(
    index: int = 0,
    *,
    picture: Frame | None = None,
    age_ms: float = 40.0,
    health: Health = HEALTHY,
    scene: Scene | None = None,
    valid: bool = True,
) -> FrameResult:
    """The `index`-th frame of a run at 10 frames a second; its picture is grey, of that level."""
    frame = grey_frame(index % 250) if picture is None else picture
    record = FrameRecord(index, frame, index / 10, f"{index:06d}")
    pulse = Pulse(
        fps=10.0,
        age_ms=age_ms,
        stages_ms={"inference": 30.0},
        recent_age_ms=(age_ms, 2 * age_ms),
        captured=index + 1,
        processed=index + 1,
        deadline_ms=100.0,
        deadline_misses=0,
    )
    labels = np.zeros(frame.shape[:2], np.uint8)
    return FrameResult(record, Segmentation(labels, 30.0, valid=valid), "", frame, scene, health, pulse)


def made_subject(root: Path, *, source: Source | None = None, clock: ManualClock | None = None) -> Subject:
    """A run over CamVid's classes whose sensors lie below `root`."""
    clock = clock or ManualClock()
    return Subject(
        source=source or ScriptedSource([]),
        label_map=CAMVID,
        controls=Controls(CAMVID),
        vitals=Vitals(CAMVID.names, clock),
        runtime={"bundle": "road.edgeseg", "backend": "fake", "precision": "fp32"},
        sensors=Sensors(root, clock),
    )


@dataclass(frozen=True)
class Answer:
    """What an application said."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    app: Any, path: str, *, method: str = "GET", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Answer:
    """One request, with exactly these headers: also those that no client library would send."""
    return asyncio.run(asked(app, path, method=method, headers=headers, body=body))


async def asked(
    app: Any, path: str, *, method: str = "GET", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Answer:
    """The same on a running event loop."""
    name, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": name,
        "raw_path": name.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(field.lower().encode(), value.encode("latin-1")) for field, value in headers],
        "client": ("192.0.2.7", 50000),
        "server": ("127.0.0.1", 8080),
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return _answer(sent)


def _answer(sent: Sequence[Any]) -> Answer:
    start = sent[0]
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
