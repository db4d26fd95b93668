"""What recording costs and what a kill leaves of it: `python benchmarks/recording.py`.

Three tables: processor time of a frame against OpenCV's own writer, in turns on the same pictures, and how much of it
the caller's thread spends, also in the call that begins a new part; what can be read of the files that lie on the disk
at a moment of the recording, which is what a kill leaves; and how long a recording of hours takes to finish, and to be
found again after a kill.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.types import Frame
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.recording.growing import rate_of
from edgeseg.video.recording.parts import read_part
from edgeseg.video.recording.recorder import Recorder
from edgeseg.video.recording.recovery import find_unfinished, recover
from edgeseg.video.recording.unfinished import CONTAINERS

FPS = 30
ROUNDS, FRAMES = 5, 90
SMALL_HW, LARGE_HW = (360, 480), (720, 1280)
KILLS = (20, 47, 74, 101, 128, 155, 182, 209)
"""Frames after which it is looked what would be left."""


class Film(Protocol):
    """Takes pictures."""

    def append(self, picture: Frame, at_s: float) -> None:
        """Add one."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class OpenCvFilm:
    """OpenCV's own writer."""

    def __init__(self, path: Path, size_wh: tuple[int, int]) -> None:
        code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        self._writer = cv2.VideoWriter(str(path), code, FPS, size_wh)

    def append(self, picture: Frame, _: float) -> None:
        """Add one."""
        self._writer.write(picture)

    def close(self) -> None:
        """Finish."""
        self._writer.release()


def films(folder: Path, size_hw: tuple[int, int]) -> dict[str, Callable[[], Film]]:
    """Name → opens a new one."""
    size_wh = size_hw[1], size_hw[0]
    return {
        "OpenCV .mkv": lambda: OpenCvFilm(folder / "o.mkv", size_wh),
        "OpenCV .mp4": lambda: OpenCvFilm(folder / "o.mp4", size_wh),
        "OpenCV .avi": lambda: OpenCvFilm(folder / "o.avi", size_wh),
        "in parts, .mkv": lambda: Recorder(folder / "p.mkv", FPS, size_wh),
        "in parts, .mp4": lambda: Recorder(folder / "p.mp4", FPS, size_wh),
    }


def drawn(size_hw: tuple[int, int]) -> list[Frame]:
    """A second of the synthetic drive."""
    drive = SyntheticDrive(size_hw=size_hw)
    return [drive.frame(index)[0] for index in range(FPS)]


def cost(folder: Path, size_hw: tuple[int, int]) -> list[list[str]]:
    """Of each film: processor time a frame; that of the caller's thread in a call, and in one that begins a part."""
    pictures = drawn(size_hw)
    openers = films(folder, size_hw)
    cpu_ms: dict[str, list[float]] = {name: [] for name in openers}
    calls_ms: dict[str, list[float]] = {name: [] for name in openers}
    turns_ms: dict[str, list[float]] = {name: [] for name in openers}
    for _ in range(ROUNDS):
        for name, opener in openers.items():
            began_cpu, film = time.process_time(), opener()
            for index in range(FRAMES):
                began = time.thread_time()
                film.append(pictures[index % FPS], index / FPS)
                took_ms = 1e3 * (time.thread_time() - began)
                (turns_ms if index and not index % FPS else calls_ms)[name].append(took_ms)
            film.close()
            cpu_ms[name].append((time.process_time() - began_cpu) * 1e3 / FRAMES)
    return [
        [
            f"{name}, {size_hw[1]}×{size_hw[0]}",
            f"{min(cpu_ms[name]):.2f} ms",
            f"{np.median(calls_ms[name]):.2f} ms",
            f"{np.median(turns_ms[name]):.2f} ms",
        ]
        for name in openers
    ]


def long_recording(folder: Path, suffix: str, hours: float) -> list[str]:
    """How long it takes to finish a recording of hours, and to find its end again after a kill."""
    part = folder / "part.avi"
    film = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (480, 360))
    for picture in drawn(SMALL_HW):
        film.write(picture)
    film.release()
    track, packets = read_part(part)
    assert track is not None
    path = folder / f"long{suffix}"
    with io.FileIO(path, "x+") as file:
        video = CONTAINERS[suffix](file, replace(track, rate=rate_of(FPS)))
        began = time.perf_counter()
        for _ in range(round(hours * 3600)):
            video.append(packets)
        append_s = time.perf_counter() - began
        began = time.perf_counter()
        found = CONTAINERS[suffix].resume(file)
        resume_s = time.perf_counter() - began
        assert found is not None
        assert found.frames == video.frames
        began = time.perf_counter()
        video.finish()
        finish_s = time.perf_counter() - began
    size_mb = path.stat().st_size / 1e6
    path.unlink()
    each_ms = 1e3 * append_s / (hours * 3600)
    return [
        f"{hours:g} h of {suffix}",
        f"{size_mb:.0f} MB",
        f"{each_ms:.1f} ms",
        f"{finish_s:.2f} s",
        f"{resume_s:.2f} s",
    ]


def survival(folder: Path, name: str, opener: Callable[[], Film], pictures: list[Frame]) -> list[str]:
    """How much of a recording is lost when it is killed, in seconds: the median and the worst of some moments."""
    film, lost = opener(), []
    for index in range(max(KILLS)):
        film.append(pictures[index % FPS], index / FPS)
        if index + 1 in KILLS:
            copy = folder / "copy"
            copy.mkdir()
            # Parts first: one that goes away meanwhile is in what is copied after it.
            for left in sorted(folder.glob("[op].*"), key=lambda path: -len(path.name)):
                with suppress(FileNotFoundError):
                    shutil.copy(left, copy)
            for unfinished in find_unfinished(copy):
                recover(unfinished)
            lost.append((index + 1 - sum(map(readable, copy.iterdir()))) / FPS)
            shutil.rmtree(copy)
    film.close()
    for left in folder.glob("[op].*"):
        left.unlink()
    return [name, f"{np.median(lost):.2f} s", f"{max(lost):.2f} s"]


def readable(path: Path) -> int:
    """Frames that OpenCV can read of a video."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def main() -> None:
    """Measure and print."""
    with quiet_opencv(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [row for size_hw in (SMALL_HW, LARGE_HW) for row in cost(folder, size_hw)]
        print(format_table(["film", "CPU a frame", "in a call", "in one that begins a part"], rows), "\n")
        for left in folder.iterdir():
            left.unlink()
        pictures = drawn((96, 128)), drawn(LARGE_HW)
        rows = [
            survival(folder, f"{film}, {size}", opener, drive)
            for drive, size, size_hw in zip(pictures, ("128×96", "1280×720"), ((96, 128), LARGE_HW), strict=True)
            for film, opener in films(folder, size_hw).items()
        ]
        print(format_table(["killed", "lost, median", "lost, worst"], rows), "\n")
        hours = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
        rows = [long_recording(folder, suffix, hours) for suffix in CONTAINERS]
        print(format_table(["recording", "size", "a part to the disk", "to finish", "to find its end"], rows))


if __name__ == "__main__":
    main()
