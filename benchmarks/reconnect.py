"""How fast a network camera is back after its plug was pulled and put back, and what is left behind by it.

    python benchmarks/reconnect.py [--times 50] [--longest 4] [--json FILE]

A real RTSP server on the loopback (tests/tiny_rtsp.py, in a process of its own) is cut off and comes back after a time
that chance chooses; every third time it falls silent first. Recovery counts from the moment it listens again to the
first frame. Threads and file descriptors are counted while frames come, before the first cut and after the last.
Resident memory is read after each: it goes up and down by some MB, as threads come and go with arenas of their own, so
its growth is from the median of the first third, without the first five cuts, to that of the last third.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgeseg import open_source
from edgeseg.files import write_json
from edgeseg.video.sources import Source

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tiny_rtsp import TinyRtsp, level_frame

_WARM_UP = 5
_SIZE_HW = (360, 640)


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in seconds, memory in MB, one for each cut; what was held is threads and file descriptors."""

    recovery_s: tuple[float, ...]
    abandoned_s: tuple[float, ...]
    """From the last frame until a silent source was given up."""
    rss_mb: tuple[float, ...]
    before: tuple[int, int]
    after: tuple[int, int]

    def summary(self) -> dict[str, float | int]:
        """The figures that there are promises for."""
        third = max(1, len(self.rss_mb) // 3)
        first, last = self.rss_mb[_WARM_UP : _WARM_UP + third], self.rss_mb[-third:]
        return {
            "times": len(self.recovery_s),
            "recovery_p50_s": round(float(np.percentile(self.recovery_s, 50)), 3),
            "recovery_p95_s": round(float(np.percentile(self.recovery_s, 95)), 3),
            "recovery_max_s": round(max(self.recovery_s), 3),
            "abandoned_max_s": round(max(self.abandoned_s, default=0.0), 3),
            "threads_leaked": self.after[0] - self.before[0],
            "descriptors_leaked": self.after[1] - self.before[1],
            "rss_growth_mb": round(statistics.median(last) - statistics.median(first or last), 2),
        }


class Plug:
    """The server, in a process of its own, so that nothing of it is in the figures."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self("where")

    def __call__(self, command: str) -> str:
        """Tell it something, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def serve() -> None:
    """Do what the lines of stdin say, and answer each with the address."""
    with TinyRtsp(lambda index: level_frame(index, _SIZE_HW)) as server:
        does = {"where": lambda: None, "stall": server.stalled.set, "cut": server.cut, "back": server.come_back}
        for line in sys.stdin:
            does[line.strip()]()
            print(server.url, flush=True)


def measure(times: int, longest_s: float, rng: np.random.Generator) -> Measured:
    """Pull the plug so many times, for up to `longest_s` each."""
    plug = Plug()
    try:
        with open_source(plug.url, rng=rng) as source:
            return _measure(plug, source, times, longest_s, rng)
    finally:
        plug.end()


def _measure(plug: Plug, source: Source, times: int, longest_s: float, rng: np.random.Generator) -> Measured:
    _read(source, 30.0, lambda: source.captured > 60)
    before = _held()
    recovery_s, abandoned_s, rss_mb = [], [], []
    for number in range(times):
        if number % 3 == 2:
            plug("stall")
            abandoned_s.append(_read(source, 10.0, lambda: source.state.link == "reconnecting"))
        plug("cut")
        _read(source, longest_s * rng.uniform(), lambda: False)
        plug("back")
        seen = source.captured
        recovery_s.append(_read(source, 60.0, lambda seen=seen: source.captured > seen))  # type: ignore[misc]
        _read(source, 1.5, lambda: False)  # it is a good connection
        rss_mb.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return Measured(tuple(recovery_s), tuple(abandoned_s), tuple(rss_mb), before, _held())


def _read(source: Source, limit_s: float, done: Callable[[], bool]) -> float:
    """Read until `done` or for so long. Returns the time that it took."""
    began_s = time.perf_counter()
    while not done() and time.perf_counter() - began_s < limit_s:
        source.read(0.01)
    return time.perf_counter() - began_s


def _held() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def main() -> int:
    """Measure, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--longest", type=float, default=4.0, metavar="S", help="longest time without plug")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    measured = measure(args.times, args.longest, np.random.default_rng(0))
    print(json.dumps(measured.summary(), indent=2))
    if args.json is not None:
        write_json(args.json, {**asdict(measured), **measured.summary()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
