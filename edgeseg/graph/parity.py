"""The ladder PyTorch FP32 → ONNX FP32 → ONNX FP16 and ONNX INT8, measured on frames, as a gate.

FP16 is measured as a GPU computes it (see `rounding`), because ONNX Runtime on a CPU would compute it in FP32. INT8 for
TensorRT runs as it is written, because ONNX Runtime's optimiser changes what is computed where INT8 meets FP16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.agreement import Agreement, AgreementMeter, Logits
from edgeseg.graph.at_frame_size import wrong_confidence, wrong_labels
from edgeseg.graph.contract import CONFIDENCE, LABELS, LOGITS
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.observe import Observer
from edgeseg.graph.rounding import emulate_fp16
from edgeseg.labels import LabelMap
from edgeseg.runtime.ort import UNOPTIMISED
from edgeseg.types import Frame

TORCH = "torch-fp32"

MIN_AGREEMENT = {"fp32": 0.9999, "fp16": 0.999, "int8-cpu": 0.95, "int8-trt": 0.95}
"""Precision of the candidate → share of pixels that must keep their class.

Of INT8 the accuracy budget says first whether it is good enough (`edgeseg.quantize.budget`). These bounds are for
whoever meets the graph without that: below a sound one, above one whose ranges or weights are wrong. Measured with the
default model on the drive: 99.1 %; with ranges cut to a quarter, which costs 13.6 points of mIoU on CamVid, 89 %."""

MIN_CLASS_IOU = {"int8-cpu": 0.5, "int8-trt": 0.5}
"""Precision → IoU that each class must reach, the reference's labels taken as truth: a graph may keep most pixels and
lose a class whole, pedestrians first: 0.88 in the default model, 0.21 with the ranges cut."""

MIN_CLASS_SHARE = 0.002
"""Share of the pixels from which a class is judged by itself; below, a few pixels decide about its IoU."""

MAX_ERROR = {"fp32": 1e-4}
"""Precision → largest error of a logit, relative to the largest logit. Float32 kernels differ in the order of summing,
which is far below this. No bound for FP16, whose errors grow with the depth of the network.

Of a graph that compares values, as max-unpooling does, it is the bound of the mean error: where two neighbours differ
by less than the kernels do, the maximum jumps from one to the other, and so do the logits around it."""

MAX_CONFIDENCE_ERROR = {"fp32": 1e-4, "fp16": 0.005, "int8-cpu": 0.05, "int8-trt": 0.05}
"""Precision → mean difference of the probability of a class from the reference's, over the pixels that keep theirs, of
graphs that give it. Measured with the default model on the drive: 1e-7, 2e-4, 0.009 and 0.012; on CamVid's frames a
third of that."""

_WRONG_LABEL = "of its labels are not the class of its largest logit"
_WRONG_CONFIDENCE = "of its confidence are not the softmax probability of its largest logit"

Reference = Callable[[Frame], Logits]
"""uint8 (H, W, 3) BGR → logits (C, h, w) of the trained network in PyTorch."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rungs of the ladder."""

    reference: str
    candidate: str
    agreement: Agreement
    problems: tuple[str, ...]
    """Why it fails, in words; empty if it passes."""

    @property
    def precision(self) -> str:
        """Precision of the candidate."""
        return _precision(self.candidate)

    @property
    def gate(self) -> float:
        """Least share of pixels that must keep their class."""
        return MIN_AGREEMENT[self.precision]

    @property
    def confidence_gate(self) -> float:
        """Largest mean difference of probability where the class is the same."""
        return MAX_CONFIDENCE_ERROR[self.precision]

    @property
    def passed(self) -> bool:
        """Whether the candidate may stand for the reference."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain data. An infinite figure, which JSON cannot hold, is None."""
        figures = _finite(asdict(self.agreement))
        figures["by_frame"] = list(self.agreement.by_frame)
        if self.agreement.confidence is None:
            del figures["confidence"]
        else:
            figures["confidence"] = _finite(asdict(self.agreement.confidence)) | {"gate": self.confidence_gate}
        return {**figures, "gate": self.gate, "passed": self.passed, "problems": list(self.problems)}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """All rungs that were compared."""

    pairs: tuple[Pair, ...]
    frames: str
    """Where the frames came from."""

    @property
    def passed(self) -> bool:
        """Whether every pair passed."""
        return all(pair.passed for pair in self.pairs)

    @property
    def failed_precisions(self) -> tuple[str, ...]:
        """Precisions whose graph failed against any rung."""
        return tuple(dict.fromkeys(pair.precision for pair in self.pairs if not pair.passed))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: {"passed", "frames", "pairs": {"torch-fp32__onnx-fp32": {...}}}."""
        pairs = {f"{pair.reference}__{pair.candidate}": pair.to_dict() for pair in self.pairs}
        return {"passed": self.passed, "frames": self.frames, "pairs": pairs}

    def raise_if_failed(self, next_step: str = "Find the layer with: edgeseg parity --locate") -> None:
        """Raise `GateError` with the first pair that failed, why, and what to do."""
        for pair in self.pairs:
            if not pair.passed:
                raise GateError(f"{pair.candidate} is not {pair.reference}: {'; '.join(pair.problems)}. {next_step}")


def measure_parity(
    graphs: Mapping[str, ModelProto],
    frames: Sequence[Frame],
    label_map: LabelMap,
    *,
    reference: Reference | None,
    frames_from: str,
) -> ParityReport:
    """Compare the graphs (precision → model; "fp32" must be there) with the reference and with one another.

    If the graphs give a confidence, that is compared too, in all of them. Without a reference only FP32 → FP16 can be
    compared. Raises `ConfigError` if that leaves nothing.
    """
    if reference is None and set(graphs) == {"fp32"}:
        raise ConfigError("nothing to compare: the bundle has one graph, and PyTorch is not here to compare it with.")
    if not frames:
        raise ConfigError(f"no frames in {frames_from}; parity is measured on at least one.")
    sure = all(len(model.graph.output) > 1 for model in graphs.values())
    wanted = [LOGITS, LABELS, CONFIDENCE] if sure else [LOGITS, LABELS]
    observers = {
        f"onnx-{precision}": Observer(
            emulate_fp16(model) if precision == "fp16" else model,
            wanted,
            optimised=precision not in UNOPTIMISED,
        )
        for precision, model in graphs.items()
    }
    rungs = [*([TORCH] if reference else []), *observers]
    meters = {(upper, lower): AgreementMeter(label_map, confidence=sure) for upper, lower in _pairs(rungs)}
    jumps = {f"onnx-{precision}": _compares_values(model) for precision, model in graphs.items()}
    inconsistent: dict[str, Counter[str]] = {name: Counter() for name in observers}
    for frame in frames:
        logits: dict[str, Logits] = {TORCH: reference(frame)} if reference else {}
        for name, observe in observers.items():
            tensors = observe(frame)
            logits[name] = tensors[LOGITS][0]
            inconsistent[name][_WRONG_LABEL] += wrong_labels(tensors[LABELS][0], logits[name])
            if sure:
                inconsistent[name][_WRONG_CONFIDENCE] += wrong_confidence(tensors[CONFIDENCE][0], logits[name])
        for (upper, lower), meter in meters.items():
            meter.update(logits[upper], logits[lower])
    pairs = []
    for (upper, lower), meter in meters.items():
        agreement = meter.result()
        problems = _problems(lower, agreement, inconsistent[lower], jumps=jumps[lower])
        pairs.append(Pair(upper, lower, agreement, tuple(problems)))
    return ParityReport(tuple(pairs), frames_from)


def _pairs(rungs: Sequence[str]) -> list[tuple[str, str]]:
    """Each rung beside the one that it was made of, and beside the first: the whole way at once."""
    onnx_fp32 = "onnx-fp32"
    pairs = [(rungs[0], rung) for rung in rungs[1:2]]
    for rung in rungs[2:]:
        pairs += [(onnx_fp32, rung), (rungs[0], rung)] if rungs[0] != onnx_fp32 else [(onnx_fp32, rung)]
    return pairs


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures without those that JSON cannot hold."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in figures.items()
    }


def _precision(rung: str) -> str:
    """`onnx-int8-cpu` → `int8-cpu`."""
    return rung.partition("-")[2]


def _compares_values(model: ModelProto) -> bool:
    """Whether what the graph computes jumps where two of its floating-point values are equal."""
    types = tensor_types(model)
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return any(node.op_type == "Equal" and types.get(node.input[0]) in floats for node in model.graph.node)


def _problems(candidate: str, agreement: Agreement, inconsistent: Mapping[str, int], *, jumps: bool) -> list[str]:
    precision = _precision(candidate)
    least, largest = MIN_AGREEMENT[precision], MAX_ERROR.get(precision, np.inf) * agreement.peak
    problems = []
    if not agreement.finite:
        problems.append("it has logits that are no numbers (NaN or infinity)")
    elif jumps and agreement.mean_abs > largest:
        problems.append(f"logits are off by {agreement.mean_abs:.2g} in the mean, at most {largest:.2g} is allowed")
    elif not jumps and agreement.max_abs > largest:
        problems.append(f"a logit is off by {agreement.max_abs:.2g}, at most {largest:.2g} is allowed")
    if agreement.argmax_agreement < least:
        problems.append(f"{agreement.argmax_agreement:.4%} of pixels keep their class, the gate is {least:.2%}")
    least_iou = MIN_CLASS_IOU.get(precision, 0.0)
    lost = {
        name: iou
        for name, iou in agreement.iou.items()
        if iou is not None and iou < least_iou and agreement.share[name] >= MIN_CLASS_SHARE
    }
    if lost:
        classes = ", ".join(f"{name} {iou:.1%}" for name, iou in lost.items())
        problems.append(f"classes are lost ({classes} IoU with the reference), at least {least_iou:.0%} is asked")
    if agreement.confidence is not None and not agreement.confidence.mean <= MAX_CONFIDENCE_ERROR[precision]:
        problems.append(
            f"its confidence is off by {agreement.confidence.mean:.2g} in the mean, at most "
            f"{MAX_CONFIDENCE_ERROR[precision]:.2g} is allowed"
        )
    problems += [f"{pixels} pixels {what}" for what, pixels in inconsistent.items() if pixels]
    return problems
