"""Golden frames of a delivery: chosen, answered by the trained network, and replayed before they go into a bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeseg.bundle.golden import confidence_difference
from edgeseg.bundle.writer import CONFIDENCE_MAY_DIFFER, MAY_DIFFER_PPM
from edgeseg.errors import GateError
from edgeseg.graph.frames import NamedFrame
from edgeseg.graph.parity import ParityReport
from edgeseg.graph.reference import torch_confidence, torch_labels
from edgeseg.models.sealed import SealedNetwork
from edgeseg.runtime.ort import UNOPTIMISED, OrtSession
from edgeseg.types import Confidence, Frame, Labels

GOLDEN_FRAMES = 4
"""So many of the compared frames go into the bundle: those on which all graphs agree best. A golden frame tests a
device, frame by frame; one full of near ties would blame the device for what the precision does."""


class Golden(NamedTuple):
    """A frame and what the trained network says of it."""

    name: str
    frame_bgr: Frame
    labels: Labels
    confidence: Confidence | None


def golden_frames(
    scenes: Sequence[NamedFrame], parity: ParityReport, sealed: SealedNetwork, *, confidence: bool
) -> list[Golden]:
    """The scenes with the fewest pixels on which any two rungs differ, in their own order, with PyTorch's answers."""
    worst = [min(shares) for shares in zip(*(pair.agreement.by_frame for pair in parity.pairs), strict=True)]
    best = sorted(range(len(scenes)), key=lambda index: -worst[index])[:GOLDEN_FRAMES]
    return [
        Golden(
            scene.name,
            scene.frame_bgr,
            torch_labels(sealed, scene.frame_bgr),
            torch_confidence(sealed, scene.frame_bgr) if confidence else None,
        )
        for scene in (scenes[index] for index in sorted(best))
    ]


class Replay(NamedTuple):
    """What a graph made of the golden frames where it was exported."""

    median_ms: float
    """First to last golden frame; the very first run, which allocates, is left out."""
    differing: dict[str, int]
    """Golden frame → pixels with another class than in PyTorch."""
    confidence_off: dict[str, float]
    """Golden frame → mean difference of probability from PyTorch, where the class is the same; empty without."""


def replay(precision: str, model: bytes, golden: Sequence[Golden]) -> Replay:
    """Do what `edgeseg verify` will do on the device; raise `GateError` if a float graph would fail even here.

    INT8 differs by its nature, as far as its budget and the parity gate allow; verify is told by how much it did here.
    """
    times_ms, differing, off = [], {}, {}
    with OrtSession(model, optimised=precision not in UNOPTIMISED, name=f"the {precision} graph") as session:
        session.run(golden[0].frame_bgr[np.newaxis])
        for frame in golden:
            began_s = time.perf_counter()
            answer = session.run_all(frame.frame_bgr[np.newaxis])
            times_ms.append(1e3 * (time.perf_counter() - began_s))
            same = answer.labels[0] == frame.labels
            differing[frame.name] = int(np.count_nonzero(~same))
            if answer.confidence is not None and frame.confidence is not None:
                off[frame.name] = confidence_difference(answer.confidence[0], frame.confidence, same)
            if not precision.startswith("int8"):
                _require_alike(precision, frame, differing[frame.name], off.get(frame.name, 0.0))
    return Replay(float(np.median(times_ms)), differing, off)


def _require_alike(precision: str, frame: Golden, differing: int, off: float) -> None:
    may_differ = frame.labels.size * MAY_DIFFER_PPM[precision] // 1_000_000
    if differing > may_differ:
        raise GateError(
            f"no bundle was written: on golden frame {frame.name} the {precision} graph gives {differing} of "
            f"{frame.labels.size} pixels another class than PyTorch, {may_differ} may differ. If its logits agree, "
            "the frame's size is at fault: an odd one puts pixel centres exactly between two of the network's."
        )
    if off > CONFIDENCE_MAY_DIFFER[precision]:
        raise GateError(
            f"no bundle was written: on golden frame {frame.name} the {precision} graph's confidence is off by "
            f"{off:.2g} in the mean, {CONFIDENCE_MAY_DIFFER[precision]:.2g} may be. Export without --confidence."
        )
