"""Finishes what a killed run left of its recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from edgeseg.errors import OutputError, SourceError
from edgeseg.files import fsync_folder
from edgeseg.video.recording.growing import GrowingVideo, rate_of
from edgeseg.video.recording.parts import read_part
from edgeseg.video.recording.unfinished import (
    CONTAINERS,
    is_unfinished,
    listing,
    open_owned,
    part_of,
    parts,
    target_path,
    unfinished_path,
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """One recording that was finished after its run was killed."""

    path: Path
    frames: int
    seconds: float
    """How long it plays."""

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} {'frame' if self.frames == 1 else 'frames'}, {self.seconds:.1f} s"


def find_unfinished(path: Path) -> list[Path]:
    """The unfinished recordings in a folder, or that of a video, which may be named by its own name or its part's.

    Raises `SourceError` for a path where nothing is.
    """
    if path.is_dir():
        owners = {path if is_unfinished(path) else part_of(path) for path in listing(path)}
        return sorted(owner for owner in owners if owner is not None)
    owner = path if is_unfinished(path) else part_of(path) or unfinished_path(path)
    if owner.exists() or parts(owner):
        return [owner]
    if path.exists():
        return []
    raise SourceError(f"{path}: no such file or folder, and no recording of that name was left unfinished.")


def recover(unfinished: Path, target: Path | None = None) -> Recovered | None:
    """Finish `unfinished` with all its parts, and call it `target`; `None` where not one frame had reached the disk.

    Without a target it gets the name that it was recorded for, or where that is taken one with "-recovered" in it.
    Nothing is copied, so this takes a second and no room, and it may be killed and repeated at any moment.
    Raises `OutputError` while it is still being recorded, and where the file system refuses.
    """
    target = target or free_name(target_path(unfinished))
    container = CONTAINERS[unfinished.suffix.lower()]
    with _refusals_named(unfinished):
        file = open_owned(unfinished, "r+" if unfinished.exists() else "x+")
        with file:
            waiting = parts(unfinished)
            video = container.resume(file)
            if video is None and not waiting and unfinished.stat().st_size:
                raise OutputError(f"{unfinished}: not begun by edgeseg, so it is left alone. Rename it.")
            for first, path in waiting:
                track, packets = read_part(path)
                packets = packets[max(0, video.frames - first) :] if video else packets  # what is in it already
                if track is None or not packets:
                    continue
                if video is None:
                    file.truncate(0)
                    video = container(file, replace(track, rate=rate_of(float(track.rate))))
                video.append(packets)
            if video is not None and video.frames:
                video.finish()
        # Before the name changes: parts without the file they belong to would look like a recording of their own.
        for _, path in waiting:
            path.unlink()
        return _named(unfinished, video, target)


def free_name(target: Path) -> Path:
    """`target`, or where that is taken `NAME-recovered`, `NAME-recovered-2` and so on."""
    return target if not target.exists() else recovered_name(target)


def recovered_name(target: Path) -> Path:
    """The first free one of `NAME-recovered`, `NAME-recovered-2` and so on."""
    names = (f"{target.stem}-recovered{'' if number == 1 else f'-{number}'}{target.suffix}" for number in count(1))
    return next(path for path in map(target.with_name, names) if not path.exists())


def _named(unfinished: Path, video: GrowingVideo | None, target: Path) -> Recovered | None:
    if video is None or not video.frames:
        unfinished.unlink()
        return None
    unfinished.rename(target)
    fsync_folder(target.parent)
    return Recovered(target, video.frames, float(video.frames / video.track.rate))


@contextmanager
def _refusals_named(unfinished: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{unfinished}: cannot be finished ({reason}). Make room, or get permission.") from error
