"""What a recording is called while it is not finished, and who may touch it.

Beside `drive.mkv` grows `drive.unfinished.mkv`, and `drive.unfinished.mkv.000000090.avi` is the part that begins with
frame 90 and is not in it yet. The frame's number in the name is what lets a part be added exactly once.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from edgeseg.errors import OutputError
from edgeseg.video.recording.growing import GrowingVideo
from edgeseg.video.recording.matroska import MatroskaVideo
from edgeseg.video.recording.mp4 import Mp4Video

CONTAINERS: dict[str, type[GrowingVideo]] = {".mkv": MatroskaVideo, ".mp4": Mp4Video}
"""Suffix → what grows under it."""

_MARK = ".unfinished"
_PART = ".avi"


def unfinished_path(target: Path) -> Path:
    """What `target` is called while it grows."""
    return target.with_name(f"{target.stem}{_MARK}{target.suffix}")


def target_path(unfinished: Path) -> Path:
    """What `unfinished` is called in the end."""
    return unfinished.with_name(unfinished.stem.removesuffix(_MARK) + unfinished.suffix)


def is_unfinished(path: Path) -> bool:
    """Whether a file of this name is a growing recording."""
    return path.suffix.lower() in CONTAINERS and path.stem.endswith(_MARK) and path.stem != _MARK


def part_path(unfinished: Path, first: int) -> Path:
    """The part that begins with frame `first`."""
    return unfinished.with_name(f"{unfinished.name}.{first:09d}{_PART}")


def part_of(path: Path) -> Path | None:
    """The growing recording to which a file of this name belongs as a part, if it does."""
    owner = path.with_suffix("").with_suffix("") if path.suffix == _PART and path.stem[-9:].isdigit() else None
    return owner if owner is not None and is_unfinished(owner) else None


def parts(unfinished: Path) -> list[tuple[int, Path]]:
    """First frame and file of each part that lies beside `unfinished`, in order."""
    if not unfinished.parent.is_dir():
        return []
    found = [path for path in listing(unfinished.parent) if part_of(path) == unfinished]
    return sorted((int(path.stem[-9:]), path) for path in found)


def listing(folder: Path) -> list[Path]:
    """What is in a folder; raises `OutputError` where that cannot be told."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be listed ({error.strerror}). Get permission, or name another.") from error


def open_owned(unfinished: Path, mode: str) -> io.FileIO:
    """Open for reading and writing as the only one who does; raises `OutputError` where another process has it.

    The lock ends with the process, however that ends. Raises `OSError` where the file system refuses.
    """
    file = io.FileIO(unfinished, mode)
    try:
        _lock(file)
    except OSError as error:
        file.close()
        raise OutputError(
            f"{unfinished}: another process is recording into it. Wait for its end, or name another file."
        ) from error
    return file


def _lock(file: io.FileIO) -> None:
    if sys.platform != "win32":  # which lets nobody else rename an open file
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
