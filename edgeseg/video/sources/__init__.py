"""Sources of frames. A new one is one file with an `open` function, and one line in `SCHEMES`."""

from __future__ import annotations

import glob
import importlib
import time
from pathlib import Path

from edgeseg.data.images import IMAGE_SUFFIXES
from edgeseg.errors import SourceError
from edgeseg.video.sources.base import CAMERA, Clock, FrameRecord, Source, SourceState

__all__ = ["SCHEMES", "Clock", "FrameRecord", "Source", "SourceState", "open_source"]

SCHEMES = {
    "camera": "edgeseg.video.sources.camera:open_camera",
    "csi": "edgeseg.video.sources.csi:open_csi",
    "images": "edgeseg.video.sources.images:open_images",
    "synthetic": "edgeseg.video.sources.synthetic:open_synthetic",
    "video": "edgeseg.video.sources.files:open_video",
}
"""Scheme → `module:function`, loaded when first used. Each function is `(what follows ://, clock) -> Source`."""


def open_source(uri: str | Path, clock: Clock = time.perf_counter) -> Source:
    """Open a camera number or device file, video file, image, folder or glob of images, or `SCHEME://…`.

    Video and image files give every frame; a camera gives its newest, and counts those it drops. Raises `SourceError`
    for what cannot be opened.
    """
    scheme, rest = _split(str(uri))
    if scheme not in SCHEMES:
        # Without the rest of the address: it may hold a password.
        raise SourceError(f"{scheme}:// is no kind of source that is known here; known are: {', '.join(SCHEMES)}.")
    module, function = SCHEMES[scheme].split(":")
    source: Source = getattr(importlib.import_module(module), function)(rest, clock)
    return source


def _split(uri: str) -> tuple[str, str]:
    """Scheme and rest; a plain path or number has its scheme by what it looks like."""
    scheme, separator, rest = uri.partition("://")
    if separator:
        return scheme, rest
    if CAMERA.fullmatch(uri):
        return "camera", uri
    path = Path(uri)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or (glob.has_magic(uri) and not path.exists()):
        return "images", uri
    return "video", uri
