"""What the camera loop costs: `python benchmarks/camera_loop.py [BUNDLE]`, with `--soak 600` for ten minutes.

Throughput: the bare session and the whole loop take turns on the same frames, 1280×720 and made beforehand, so that
other work on the machine hits both; the figure is the median of the ratios of neighbouring rounds. CPU is processor
time per frame, all threads together: what the loop takes beside the session, also where the machine is busy otherwise.
The loop paints for a window that shows nothing. Without BUNDLE: the default model, exported for this camera size
(`edgeseg export --camera-size 720x1280`).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.files import write_json
from edgeseg.runtime.ort import OrtSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame
from edgeseg.video.health import HealthMonitor
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.results import FrameResult
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.sources.realtime import realtime
from edgeseg.video.stats import RunReport

SIZE_HW = (720, 1280)
MADE = 24
"""Different frames, taken in turn."""
CAMERA_FPS = 60.0
WARM_UP_S = 60.0
"""Of a soak: memory pools and rings of latencies are filled by then."""


class MadeFrames(Source):
    """Frames made beforehand, so many in all, that cost nothing to take."""

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        super().__init__("made", time.perf_counter, CAMERA_FPS)
        self._frames = frames
        self._count = count

    def _take(self) -> FrameRecord | None:
        if self.captured == self._count:
            return None
        frame = self._frames[self.captured % len(self._frames)]
        return FrameRecord(self.captured, frame, self.clock(), f"{self.captured:06d}")


class Blind(Sink):
    """A window that shows nothing; calls `look` with each result."""

    wants_picture = True

    def __init__(self, look: Any = None) -> None:
        super().__init__()
        self._look = look

    def write(self, result: FrameResult) -> None:
        """Take the picture as a window would."""
        assert result.picture_bgr is not None
        if self._look is not None:
            self._look()


def bare_fps(session: OrtSession, frames: Sequence[Frame], count: int) -> float:
    """Frames a second of the session alone."""
    batches = [frame[np.newaxis] for frame in frames]
    began = time.perf_counter()
    for index in range(count):
        session.run(batches[index % len(batches)])
    return count / (time.perf_counter() - began)


def loop(
    segmenter: Segmenter, source: Source, *, whole: bool, look: Any = None, seconds: float = math.inf
) -> RunReport:
    """The loop with the overlay, if `whole` also with all that `edgeseg run` makes of a frame."""
    ends_s = time.perf_counter() + seconds
    return run_loop(
        source,
        segmenter,
        [Blind(look)],
        overlay=Overlay(segmenter.label_map),
        analyser=SceneAnalyser(segmenter.label_map, fps=CAMERA_FPS) if whole else None,
        monitor=HealthMonitor(CAMERA_FPS) if whole else None,
        stopped=lambda: time.perf_counter() > ends_s,
    )


def throughput(bundle: Bundle, frames: Sequence[Frame], threads: int, rounds: int, count: int) -> dict[str, Any]:
    """The bare session, the loop with overlay, and the whole loop, in turns."""
    session = OrtSession.from_bundle(bundle, precision="fp32", threads=threads)
    with Segmenter.from_session(session, bundle.label_map) as segmenter:
        runs: dict[str, Callable[[], float]] = {
            "bare": lambda: bare_fps(session, frames, count),
            "overlay": lambda: loop(segmenter, MadeFrames(frames, count), whole=False).fps,
            "whole": lambda: loop(segmenter, MadeFrames(frames, count), whole=True).fps,
        }
        fps: dict[str, list[float]] = {name: [] for name in runs}
        cpu_ms: dict[str, list[float]] = {name: [] for name in runs}
        bare_fps(session, frames, 5)
        for _ in range(rounds):
            for name, run in runs.items():
                began = time.process_time()
                fps[name].append(run())
                cpu_ms[name].append(1e3 * (time.process_time() - began) / count)
        fps["bare"].append(runs["bare"]())
    around = [(before + after) / 2 for before, after in zip(fps["bare"], fps["bare"][1:], strict=False)]
    result: dict[str, Any] = {"threads": threads}
    for name in runs:
        result[name] = {"fps": statistics.median(fps[name]), "cpu_ms": statistics.median(cpu_ms[name])}
        if name != "bare":
            ratios = [found / bare for found, bare in zip(fps[name], around, strict=True)]
            result[name] |= {"ratio": statistics.median(ratios), "ratios": ratios}
    return result


def overload(bundle: Bundle, frames: Sequence[Frame], threads: int, seconds: float) -> dict[str, Any]:
    """A camera of 60 frames/s in real time, faster than the model: how old are the frames?"""
    session = OrtSession.from_bundle(bundle, precision="fp32", threads=threads)
    with Segmenter.from_session(session, bundle.label_map) as segmenter:
        bare_fps(session, frames, 5)
        report = loop(segmenter, realtime(MadeFrames(frames, int(seconds * CAMERA_FPS))), whole=True, seconds=seconds)
    return {"threads": threads, **report.to_dict()}


def soak(bundle: Bundle, frames: Sequence[Frame], threads: int, seconds: float) -> dict[str, Any]:
    """The same for long: memory, threads and open files after the warm-up and at the end."""
    session = OrtSession.from_bundle(bundle, precision="fp32", threads=threads)
    taken: list[dict[str, int]] = []
    began = time.perf_counter()

    def look() -> None:
        if time.perf_counter() - began >= min(WARM_UP_S, seconds / 4) + len(taken) * seconds / 20:
            taken.append(resources())

    with Segmenter.from_session(session, bundle.label_map) as segmenter:
        source = realtime(MadeFrames(frames, int(seconds * CAMERA_FPS)))
        report = loop(segmenter, source, whole=True, look=look, seconds=seconds)
    grown = {name: taken[-1][name] - taken[0][name] for name in taken[0]}
    return {"threads": threads, "seconds": seconds, "grown": grown, "taken": taken, "frames": report.frames}


def resources() -> dict[str, int]:
    """Resident kilobytes, threads and open files of this process, as Linux tells them."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kilobytes, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
    return {"rss_kb": kilobytes, "threads": threads, "python_threads": threading.active_count(), "files": _files()}


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def main() -> int:
    """Print the figures, and write them where `--json` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=60, help="of a round (default: %(default)s)")
    parser.add_argument("--overload", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--cv-threads", type=int, metavar="N", help="threads of OpenCV; default: its own choice")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.cv_threads is not None:
        cv2.setNumThreads(args.cv_threads)
    bundle = Bundle.open(args.bundle or _exported())
    frames = [SyntheticDrive(size_hw=bundle.contract.camera_hw or SIZE_HW).frame(3 * index)[0] for index in range(MADE)]
    figures: dict[str, Any] = {"machine_cores": os.cpu_count()}
    if args.soak:
        figures["soak"] = soak(bundle, frames, args.threads[0], args.soak)
        print("grown after the warm-up:", figures["soak"]["grown"], "in", figures["soak"]["frames"], "frames")
    else:
        figures["throughput"] = [throughput(bundle, frames, n, args.rounds, args.frames) for n in args.threads]
        figures["overload"] = [overload(bundle, frames, n, args.overload) for n in args.threads]
        print(format_table(*_throughput_table(figures["throughput"])), end="\n\n")
        print(format_table(*_overload_table(figures["overload"])))
    if args.json is not None:
        write_json(args.json, figures)
    return 0


def _exported() -> Path:
    from edgeseg.graph.deliver import deliver
    from edgeseg.graph.recipe import ExportConfig
    from edgeseg.models.checkpoint import load_checkpoint
    from edgeseg.runtime.default import cache_folder

    path = cache_folder() / "camera-loop-720x1280.edgeseg"
    if not path.is_dir():
        print(f"exporting the default model to {path}, once", file=sys.stderr)
        config = ExportConfig(camera_hw=SIZE_HW)
        deliver(load_checkpoint(None), config, path, name=path.stem).raise_if_failed()
    return path


def _throughput_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["threads", "session alone", "CPU", "loop, overlay", "ratio", "CPU", "loop, all", "ratio", "CPU"]
    table = []
    for row in rows:
        cells = [f"{row['bare']['fps']:.1f} fps", f"{row['bare']['cpu_ms']:.1f} ms"]
        for name in ("overlay", "whole"):
            found = row[name]
            cells += [f"{found['fps']:.1f} fps", f"{found['ratio']:.3f}", f"{found['cpu_ms']:.1f} ms"]
        table.append([str(row["threads"]), *cells])
    return header, table


def _overload_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["threads, 60 fps camera", "fps", "inference p99", "age p50", "age p95", "age p99", "queue"]
    return header, [
        [str(row["threads"]), f"{row['fps']:.1f}", f"{row['stages']['inference']['p99']:.1f} ms"]
        + [f"{row['latency_ms'][name]:.1f} ms" for name in ("p50", "p95", "p99")]
        + [str(row["queue_peak"])]
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
