"""Is what the device computes right? Golden frames, parity, transposed convolutions, frames that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle, GoldenFrame
from edgeseg.engine.selftest.graphs import Upsampling, dividing_graph, upsampling_graph
from edgeseg.engine.selftest.kits import CpuKit, Kit
from edgeseg.engine.selftest.report import Figure, Item
from edgeseg.graph.frames import NamedFrame
from edgeseg.lazy import require
from edgeseg.runtime.session import Session
from edgeseg.types import INVALID, Frame, Labels

SUITE_AGREEMENT = {"fp32": 0.999, "fp16": 0.98}
"""Precision → share of pixels that must keep their class in the suite. Random weights leave more near ties than trained
ones do: rounding to float16 alone turns up to 1 %. A wrong crop, padding or order of phases turns most."""

_SEED = 7
_DIVIDING_HW = (32, 48)


def golden_items(session: Session, precision: str, golden: Sequence[GoldenFrame]) -> Iterator[Item]:
    """Each golden frame, as `edgeseg verify` judges it."""
    for frame in golden:
        labels = session.run(frame.frame_bgr[np.newaxis])[0]
        differing = int(np.count_nonzero(labels != frame.labels))
        may_differ = frame.may_differ[precision]
        valid = bool(labels[0, 0] != INVALID)
        figures = {
            "agreement": 1 - differing / labels.size,
            "differing": differing,
            "may_differ": may_differ,
            "valid": valid,
        }
        yield Item("golden frames", f"{precision} {frame.name}", valid and differing <= may_differ, figures)


def reference_labels(bundle: Bundle, scenes: Sequence[NamedFrame]) -> list[Labels]:
    """What the FP32 graph gives in ONNX Runtime on the CPU."""
    with CpuKit().open_graph(bundle.graph_bytes("fp32"), "fp32", (0, 0)) as session:
        return [session.run(scene.frame_bgr[np.newaxis])[0] for scene in scenes]


def parity_item(session: Session, precision: str, scenes: Sequence[NamedFrame], reference: Sequence[Labels]) -> Item:
    """Drawn road scenes: share of pixels with the class that FP32 on the CPU gives, against the gate of the export."""
    require("onnx", extra="tensorrt")
    from edgeseg.graph.parity import MIN_AGREEMENT

    shares = [
        float(np.mean(session.run(scene.frame_bgr[np.newaxis])[0] == labels))
        for scene, labels in zip(scenes, reference, strict=True)
    ]
    mean = float(np.mean(shares))
    worst = scenes[int(np.argmin(shares))].name
    gate = MIN_AGREEMENT[precision]
    figures: dict[str, Figure] = {
        "frames": len(shares),
        "agreement": mean,
        "worst": min(shares),
        "worst_frame": worst,
        "gate": gate,
    }
    return Item("parity with ONNX Runtime FP32 on the CPU", precision, mean >= gate, figures)


def transposed_items(kit: Kit, case: Upsampling) -> Iterator[Item]:
    """One transposed convolution in every form and precision, against the plain one in FP32 on the CPU."""
    frame = np.random.default_rng(_SEED).integers(0, 256, (*case.frame_hw, 3), dtype=np.uint8)
    expected = _labels(CpuKit(), upsampling_graph(case), "fp32", frame)
    for form, model in transposed_forms(case).items():
        for precision, graph in by_precision(model).items():
            found = _labels(kit, graph, precision, frame)
            agreement = float(np.mean(found == expected))
            gate = SUITE_AGREEMENT[precision]
            figures = {"agreement": agreement, "gate": gate, "classes_seen": len(np.unique(expected))}
            yield Item("transposed convolutions", f"{case.name}, {form}, {precision}", agreement >= gate, figures)


def transposed_forms(case: Upsampling, **how: Any) -> dict[str, Any]:
    """The graph as a network has it, and as an export writes it: the same function."""
    from edgeseg.graph.passes.decide_before_shuffle import decide_before_shuffle
    from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv

    forms = {"transposed": upsampling_graph(case, **how), "sub-pixel": upsampling_graph(case, **how)}
    split_transposed_conv(forms["sub-pixel"])
    decided = type(forms["sub-pixel"]).FromString(forms["sub-pixel"].SerializeToString())
    if decide_before_shuffle(decided):
        forms["decided-first"] = decided
    return forms


def by_precision(model: Any) -> Mapping[str, Any]:
    """FP32 and FP16; a transposed convolution is never INT8."""
    from edgeseg.graph.fp16 import convert_to_fp16

    return {"fp32": model, "fp16": convert_to_fp16(model).model}


def invalid_items(kit: Kit) -> Iterator[Item]:
    """Does a NaN or an infinity in one pixel still mark the frame, once the runtime has optimised the graph?"""
    from edgeseg.graph.passes.mark_invalid import mark_invalid

    model = dividing_graph(_DIVIDING_HW)
    mark_invalid(model)
    sound = np.random.default_rng(_SEED).integers(1, 256, (*_DIVIDING_HW, 3), dtype=np.uint8)
    cases = {"sound frame": None, "NaN": (0, 0, 0), "infinity": (9, 0, 9)}
    with kit.open_graph(model.SerializeToString(), "fp32", _DIVIDING_HW) as session:
        for name, pixel in cases.items():
            frame = sound.copy()
            if pixel is not None:
                frame[-1, -1] = pixel
            labels = session.run(frame[np.newaxis])[0]
            marked = float(np.mean(labels == INVALID))
            yield Item("invalid frames", name, marked == (pixel is not None), {"share_marked": marked})


def _labels(kit: Kit, model: Any, precision: str, frame: Frame) -> Labels:
    with kit.open_graph(model.SerializeToString(), precision, frame.shape[:2]) as session:
        return np.asarray(session.run(frame[np.newaxis])[0])
