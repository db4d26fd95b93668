"""Sources of frames. A new one is one file with an `open` function, and one line in a table below."""

from __future__ import annotations

import glob
import importlib
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeseg.data.images import IMAGE_SUFFIXES
from edgeseg.errors import SourceError
from edgeseg.video.sources.base import CAMERA, Clock, FrameRecord, Source, SourceState
from edgeseg.video.sources.live import LiveConfig
from edgeseg.video.sources.reconnecting import Reconnecting
from edgeseg.video.sources.redact import redact

__all__ = ["LIVE", "RECORDED", "SCHEMES", "Clock", "FrameRecord", "LiveConfig", "Source", "SourceState", "open_source"]

RECORDED = {
    "images": "edgeseg.video.sources.images:open_images",
    "synthetic": "edgeseg.video.sources.synthetic:open_synthetic",
    "video": "edgeseg.video.sources.files:open_video",
}
"""Scheme → `module:function`, loaded when first used. Each function is `(what follows ://, clock) -> Source`."""

LIVE = {
    "camera": "edgeseg.video.sources.camera:open_camera",
    "csi": "edgeseg.video.sources.csi:open_csi",
    "gst": "edgeseg.video.sources.gstreamer:open_gstreamer",
    "http": "edgeseg.video.sources.network:open_http",
    "https": "edgeseg.video.sources.network:open_https",
    "rtsp": "edgeseg.video.sources.network:open_rtsp",
    "rtsps": "edgeseg.video.sources.network:open_rtsps",
}
"""The same for what can be lost and opened again; each call of a function opens it once."""

SCHEMES = RECORDED | LIVE


def open_source(
    uri: str | Path,
    clock: Clock = time.perf_counter,
    *,
    live: LiveConfig = LiveConfig(),  # noqa: B008 - frozen
    rng: np.random.Generator | None = None,
) -> Source:
    """Open a camera, a network stream, a video file, images, a GStreamer pipeline or the synthetic drive.

    `0`, `/dev/video0`, `camera://0?size=720x1280&fps=30&fourcc=MJPG`, `csi://0`, `rtsp://…`, `rtsps://…`, `http://…`,
    `https://…`, `gst://PIPELINE`, `clip.mp4`, `photo.jpg`, a folder or glob of images, `synthetic://drive?seed=7`.
    Files give every frame. What is live gives its newest, counts those it drops, and is opened again when it is lost,
    as `live` says; `rng` spreads the attempts. Raises `SourceError` for what cannot be opened, `UnavailableError` for
    what this OpenCV cannot do. No message and no `uri` of a source holds a password.
    """
    scheme, rest = _split(str(uri))
    if scheme not in SCHEMES:
        raise SourceError(
            f"{scheme}:// is no kind of source that is known here; known are: {', '.join(sorted(SCHEMES))}."
        )
    module, function = SCHEMES[scheme].split(":")

    def connect() -> Source:
        opened: Callable[[str, Clock], Source] = getattr(importlib.import_module(module), function)
        return opened(rest, clock)

    if scheme in RECORDED:
        return connect()
    return Reconnecting(redact(str(uri)), connect, clock, config=live, rng=rng or np.random.default_rng())


def _split(uri: str) -> tuple[str, str]:
    """Scheme and rest; a plain path or number has its scheme by what it looks like."""
    scheme, separator, rest = uri.partition("://")
    if separator:
        return scheme.lower(), rest
    mistyped = re.match(r"(?i)(rtsps?|https?|gst|csi|camera|synthetic):", uri)
    if mistyped:
        raise SourceError(f"{redact(uri)}: expected // after the colon: {mistyped[1].lower()}://…")
    if CAMERA.fullmatch(uri.partition("?")[0]):
        return "camera", uri
    path = Path(uri)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or (glob.has_magic(uri) and not path.exists()):
        return "images", uri
    return "video", uri
