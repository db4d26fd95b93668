"""A camera that the operating system knows: `0`, `/dev/video0`, or `camera://0?size=720x1280&fps=30&fourcc=MJPG`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edgeseg.errors import SourceError
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.sources.base import CAMERA, Clock
from edgeseg.video.sources.capture import LiveCapture
from edgeseg.video.sources.query import count, read_settings, size_hw


def _fourcc(text: str) -> str:
    if len(text) != 4 or not text.isascii():
        raise ValueError("expected four characters, such as MJPG or YUYV")
    return text.upper()


_SETTINGS: dict[str, Callable[[str], Any]] = {"size": size_hw, "fps": count, "fourcc": _fourcc}


def open_camera(rest: str, clock: Clock, open_capture: Callable[[int], Any] = cv2.VideoCapture) -> LiveCapture:
    """Open what follows `camera://`; raises `SourceError` saying what to check if it does not open.

    A camera that gives another size, rate or coding than was asked for says so in its notes.
    """
    device, _, query = rest.partition("?")
    if not CAMERA.fullmatch(device):
        raise SourceError(f"camera {device!r}: expected a number (0, 1, …) or a device file such as /dev/video0.")
    settings = read_settings(f"camera://{rest}", query, _SETTINGS)
    number = _number(device)
    with quiet_opencv():
        capture = open_capture(number)
        if not capture.isOpened():
            capture.release()
            raise SourceError(_why_closed(number, Path("/dev")))
        notes = _set_up(capture, settings)
    hint = "Check its cable, and dmesg for USB errors."
    camera = LiveCapture(rest, f"camera {device}", capture, clock, hint=hint)
    camera.notes += [f"camera {device} {note}" for note in notes]
    return camera


def _number(device: str) -> int:
    """N of /dev/videoN. A name in /dev/v4l stays with its camera when the number changes: it is looked up each time."""
    if device.startswith("/dev/v4l/"):
        path = Path(device).resolve()
        if not path.exists():
            raise SourceError(
                f"there is no camera {device}. Is it plugged in? Names of those that are: ls /dev/v4l/by-id"
            )
        device = str(path)
    return int(device.removeprefix("/dev/video"))


def _set_up(capture: Any, settings: dict[str, Any]) -> list[str]:
    """Ask for size, rate and coding. Returns what the camera does otherwise."""
    notes = []
    # The coding first: V4L2 drivers offer large sizes in some codings only, and take the nearest of what they offer.
    if "fourcc" in settings:
        asked = settings["fourcc"]
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked))
        given = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False).decode("ascii", "replace")
        if given != asked:
            notes.append(f"does not give fourcc={asked}, but {given!r}")
    if "size" in settings:
        height, width = settings["size"]
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        given_hw = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        if given_hw != (height, width):
            notes.append(f"does not give size={height}x{width}, but {given_hw[0]}x{given_hw[1]}")
    if "fps" in settings:
        capture.set(cv2.CAP_PROP_FPS, settings["fps"])
        if round(capture.get(cv2.CAP_PROP_FPS)) != settings["fps"]:
            notes.append(f"does not give fps={settings['fps']}, but {capture.get(cv2.CAP_PROP_FPS):g}")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return notes


def _why_closed(number: int, devices: Path) -> str:
    """What to check when camera `number` does not open, by what is in the folder `devices`."""
    here = sorted(entry.name for entry in devices.glob("video*") if CAMERA.fullmatch(f"/dev/{entry.name}"))
    if f"video{number}" in here:
        return (
            f"camera {number} (/dev/video{number}) is there but does not open. Is another program using it "
            f"(fuser /dev/video{number}), and is your user in the group video?"
        )
    if here:
        return f"there is no camera {number}; this machine has: {', '.join(f'/dev/{name}' for name in here)}."
    return f"there is no camera {number}, nor any /dev/video*. Is it plugged in, and passed into this container?"
