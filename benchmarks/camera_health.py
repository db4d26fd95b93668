"""How well camera faults are found, at what cost: `python benchmarks/camera_health.py [--clips 100] [--json FILE]`.

Every clip is 100 frames of a synthetic drive of its own (seeds 600 and up; thresholds were chosen on seeds below), in
all its weathers in turn. All its frames are the clean ones; each fault is then put into the clip from its frame 20 on,
with its variants in turn and a severity drawn from 0 to 1. Found means: reported within five frames. With EDGESEG_DATA,
the real clips in videos/ are counted as well, every frame.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.data.synthetic.weather import LOOKS
from edgeseg.files import write_json
from edgeseg.types import Frame
from edgeseg.video.health import FAULTS, HealthMonitor
from edgeseg.video.health.inject import VARIANTS, Fault, make_fault
from edgeseg.video.health.look import look_at
from edgeseg.video.health.monitor import DEFAULT_FPS, DETECTORS
from edgeseg.video.sources import open_source
from edgeseg.video.sources.base import FrameRecord

SCENES = tuple(LOOKS)
"""Without the mixed drive, which is made of these: from dusk to night in one frame is no camera's picture."""
FIRST_SEED = 600
FRAMES, BEGIN, WITHIN = 100, 20, 5
SIZES_HW = ((180, 320), (180, 320), (180, 320), (270, 480))
COST_HW, ROUNDS = (720, 1280), 20


@dataclass
class Tally:
    """What was counted."""

    clips: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(fault, variant) → clips."""
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    also: Counter[str] = field(default_factory=Counter)
    """Fault → clips on which some other fault was reported as well."""
    clean: int = 0
    false_alarms: Counter[str] = field(default_factory=Counter)
    """Fault → clean frames on which it was reported."""

    def rate(self, fault: str) -> float:
        """Share of the clips with `fault` on which it was found in time."""
        clips = sum(self.clips[fault, variant] for variant in VARIANTS[fault])
        return sum(self.found[fault, variant] for variant in VARIANTS[fault]) / max(clips, 1)


def record(index: int, frame: Frame) -> FrameRecord:
    """One frame of a stream of 30 frames a second."""
    return FrameRecord(index, frame, index / DEFAULT_FPS, f"{index:06d}", index / DEFAULT_FPS)


def draw_clip(number: int, frames: int = FRAMES) -> list[Frame]:
    """A stretch of a drive that belongs to this clip alone."""
    rng = np.random.default_rng([number, 11])
    size_hw = SIZES_HW[number % len(SIZES_HW)]
    drive = SyntheticDrive(FIRST_SEED + number, SCENES[number % len(SCENES)], size_hw, DEFAULT_FPS)
    begin = int(rng.integers(0, 3000))
    return [drive.frame(begin + k)[0] for k in range(frames)]


def false_alarms(frames: Iterable[Frame]) -> tuple[int, Counter[str]]:
    """How many frames there are, and on how many of them each fault is reported."""
    monitor, alarms, count = HealthMonitor(DEFAULT_FPS), Counter[str](), 0
    for count, frame in enumerate(frames, 1):
        alarms.update(monitor(record(count, frame)).faults)
    return count, alarms


def reported(frames: list[Frame], fault: Fault) -> set[str]:
    """The faults that are reported within five frames of the beginning of `fault`."""
    monitor, seen = HealthMonitor(DEFAULT_FPS), set[str]()
    for k, frame in enumerate(frames[: BEGIN + WITHIN]):
        faults = monitor(fault(record(k, frame), k - BEGIN)).faults
        if k >= BEGIN:
            seen.update(faults)
    return seen


def measure_clip(number: int, tally: Tally) -> None:
    """Count one clip, clean and with every fault."""
    frames = draw_clip(number)
    count, alarms = false_alarms(frames)
    tally.clean += count
    tally.false_alarms += alarms
    for place, kind in enumerate(FAULTS):
        rng = np.random.default_rng([number, 12, place])
        # Every variant meets every scene.
        variant = tuple(VARIANTS[kind])[number // len(SCENES) % len(VARIANTS[kind])]
        seen = reported(frames, make_fault(kind, float(rng.uniform()), rng, variant))
        tally.clips[kind, variant] += 1
        tally.found[kind, variant] += kind in seen
        tally.also[kind] += bool(seen - {kind})


def real_clips() -> list[Path]:
    """The real clips, where EDGESEG_DATA names their folder."""
    return sorted(Path(os.environ.get("EDGESEG_DATA", "no folder"), "videos").glob("*.mp4"))


def cost_ms() -> dict[str, float]:
    """Processor milliseconds a frame at 1280×720: the small picture, each detector on its own, and all together."""
    cv2.setNumThreads(1)
    drive = SyntheticDrive(seed=FIRST_SEED, size_hw=COST_HW)
    records = [record(k, drive.frame(k)[0]) for k in range(20)]

    def best(call: Any) -> float:
        """Of the rounds, the best, as timeit advises."""
        rounds = []
        for _ in range(ROUNDS):
            started = time.process_time()
            for one in records:
                call(one)
            rounds.append((time.process_time() - started) * 1e3 / len(records))
        return min(rounds)

    small = best(look_at)
    costs = {"small picture": small}
    for fault, make in DETECTORS.items():
        detector = make(DEFAULT_FPS)
        costs[fault] = max(0.0, best(lambda one, detector=detector: detector(look_at(one))) - small)
    return {**costs, "all together": best(HealthMonitor())}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    tally = Tally()
    for number in range(args.clips):
        measure_clip(number, tally)
    rows = [
        [kind, variant, str(tally.clips[kind, variant]), str(tally.found[kind, variant])]
        for kind in FAULTS
        for variant in VARIANTS[kind]
    ]
    print(format_table(["fault", "variant", "clips", "found within 5 frames"], rows))
    rows = [[k, f"{tally.rate(k):.1%}", str(tally.also[k]), str(tally.false_alarms[k])] for k in FAULTS]
    print(format_table(["fault", "found", "another as well", f"false alarms in {tally.clean} frames"], rows))
    real = {path.name: false_alarms(one.frame_bgr for one in open_source(path)) for path in real_clips()}
    rows = [[name, str(count), str(dict(alarms) or "none")] for name, (count, alarms) in real.items()]
    print(format_table(["real clip", "frames", "false alarms"], rows))
    costs = cost_ms()
    print(format_table(["1280×720, one core", "ms a frame"], [[name, f"{ms:.3f}"] for name, ms in costs.items()]))
    if args.json is not None:
        figures = {
            "clips": args.clips,
            "found": {kind: tally.rate(kind) for kind in FAULTS},
            "variants": {f"{k}: {v}": [tally.found[k, v], tally.clips[k, v]] for k in FAULTS for v in VARIANTS[k]},
            "clean_frames": tally.clean,
            "false_alarms": {kind: tally.false_alarms[kind] for kind in FAULTS},
            "real": {name: [count, dict(alarms)] for name, (count, alarms) in real.items()},
            "cost_ms": costs,
        }
        write_json(args.json, figures)


if __name__ == "__main__":
    main()
