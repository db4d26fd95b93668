"""This benchmark beside an older one, candidate by candidate; only where machine and settings are the same.

Two runs at two times: what else the machine did then and now is in the ratio and not in its interval. To decide
between two bundles, name both in one run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.bench.config import BenchConfig
from edgeseg.bench.ratios import ratio_apart
from edgeseg.bench.report import KIND, SCHEMA, Measured
from edgeseg.errors import ConfigError

SAME_MACHINE = ("name", "threads", "memory_gib", "system", "jetson", "power_mode")
"""Facts of `edgeseg.doctor.machine_summary` without which milliseconds cannot be compared."""


@dataclass(frozen=True, slots=True)
class OldReport:
    """An older report, read from JSON."""

    path: Path
    content: Mapping[str, Any]

    @staticmethod
    def read(path: Path) -> OldReport:
        """Raises `ConfigError` for a file that is no report of this command, or of another schema."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"--compare {path}: cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigError(f"--compare {path}: is not JSON ({error}).") from error
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise ConfigError(f"--compare {path}: is no report of edgeseg benchmark --json.")
        if content.get("schema") != SCHEMA:
            raise ConfigError(
                f"--compare {path}: has schema {content.get('schema')}, this edgeseg writes {SCHEMA}. Measure it again."
            )
        try:
            _require_figures(content)
        except (KeyError, TypeError, IndexError) as error:
            raise ConfigError(f"--compare {path}: is damaged ({error!r}). Measure it again.") from error
        return OldReport(path, content)

    def require_same(self, machine: Mapping[str, Any], config: BenchConfig) -> None:
        """Raise `ConfigError` naming what differs: asked before the first frame is measured."""
        theirs, settings = self.content["machine"], self.content["settings"]
        found = [
            f"{name} {theirs.get(name)} then, {machine.get(name)} now"
            for name in SAME_MACHINE
            if theirs.get(name) != machine.get(name)
        ]
        if settings["threads"] != config.threads:
            found.append(f"--threads {settings['threads']} then, {config.threads} now")
        if found:
            raise ConfigError(
                f"--compare {self.path}: another machine or other settings, so its milliseconds mean something else: "
                f"{'; '.join(found)}."
            )

    def compare(self, measured: Sequence[Measured], rng: np.random.Generator) -> dict[str, Any]:
        """How many times as fast each candidate is as it was then, as plain data; see `ratio_apart`."""
        old = {one["label"]: one for one in self.content["candidates"]}
        found, left_out = [], {}
        for one in measured:
            then = old.get(one.label)
            if then is None:
                left_out[one.label] = f"the old report has no such candidate, only {', '.join(old)}"
            elif then["frame_hw"] != list(one.facts["frame_hw"]):
                sizes = ["x".join(map(str, hw)) for hw in (then["frame_hw"], one.facts["frame_hw"])]
                left_out[one.label] = f"frames of {sizes[0]} then, {sizes[1]} now"
            else:
                found.append(_beside(then, one, rng))
        return {
            "file": str(self.path),
            "created": self.content["created"],
            "edgeseg": self.content["edgeseg"],
            "candidates": found,
            "left_out": left_out,
            "old_warnings": self.content["warnings"],
        }


def _require_figures(content: Mapping[str, Any]) -> None:
    """Look at everything that a comparison uses; raises what a missing key raises."""
    _ = content["created"], content["edgeseg"], content["warnings"], content["settings"]["threads"]
    _ = dict(content["machine"])
    for one in content["candidates"]:
        _ = one["label"], one["frame_hw"], one["rounds_median_ms"][0] / 1
        _ = one["session"]["latency"]["p95_ms"], one["frame_to_labels"]["latency"]["p95_ms"]
        if one["end_to_end"] is not None:
            _ = one["end_to_end"]["fps"], one["end_to_end"]["camera_fps"]


def _beside(then: Mapping[str, Any], now: Measured, rng: np.random.Generator) -> dict[str, Any]:
    ratio = ratio_apart(then["rounds_median_ms"], now.rounds_ms, rng)
    old_loop, loop = then["end_to_end"], now.camera
    both_loops = old_loop is not None and loop is not None and old_loop["camera_fps"] == loop.camera_fps
    return {
        "label": now.label,
        "session": ratio.to_dict(),
        "session_p95": round(then["session"]["latency"]["p95_ms"] / now.session.p95_ms, 4),
        "frame_to_labels_p95": round(then["frame_to_labels"]["latency"]["p95_ms"] / now.whole.p95_ms, 4),
        "end_to_end_fps": round(loop.fps / old_loop["fps"], 4) if both_loops and loop is not None else None,
    }
