"""Running a graph and looking at tensors inside it: extra outputs on a copy in memory, never on the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.errors import GateError
from edgeseg.graph.contract import FRAME, LOGITS
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.phases import lay_out_logits
from edgeseg.lazy import require
from edgeseg.types import Frame

_ERRORS_ONLY = 3
"""ONNX Runtime's log severity."""

_AXES = "axes.of.batch.and.space"
_NCHW = 4
"""Rank of the tensors that have channels."""

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """What a tensor's values were over some frames."""

    peak: float
    """Largest magnitude."""
    means: NDArray[np.float32] | None = None
    """Mean of each channel, (C); None for tensors that are not NCHW."""


class Observer:
    """A sealed graph in ONNX Runtime on the CPU that also gives the tensors named in `names`.

    The logits are always (1, C, H, W), also of a graph that decides before it lays them out (see `phases`).
    `optimised=False` runs it operator by operator as it is written.
    """

    def __init__(self, model: ModelProto, names: Sequence[str], *, optimised: bool = True) -> None:
        ort = require("onnxruntime", extra="train")
        copy = ModelProto.FromString(model.SerializeToString())
        types = tensor_types(copy)
        given = {output.name for output in copy.graph.output}
        self._written_as = {LOGITS: lay_out_logits(copy)} if LOGITS in names else {}
        copy.graph.output.extend(
            helper.make_tensor_value_info(self._written_as.get(name, name), types[name], None)
            for name in names
            if name not in given
        )
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base but this
            raise GateError(
                f"ONNX Runtime {ort.__version__} refuses the graph: {' '.join(str(error).split())}"
            ) from error
        self._names = list(names)

    def __call__(self, frame_bgr: Frame, names: Sequence[str] | None = None) -> Tensors:
        """uint8 (H, W, 3) BGR → the named tensors; `names` takes only some of them, so that the others are not kept."""
        wanted = self._names if names is None else list(names)
        written = [self._written_as.get(name, name) for name in wanted]
        values = self._session.run(written, {FRAME: np.ascontiguousarray(frame_bgr)[np.newaxis]})
        return dict(zip(wanted, values, strict=True))


def inner_floats(model: ModelProto) -> list[str]:
    """Names of the float tensors that nodes write, in topological order."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    types = tensor_types(model)
    return [name for node in model.graph.node for name in node.output if types.get(name) in floats]


def statistics(model: ModelProto, frames: Sequence[Frame]) -> dict[str, TensorStatistics]:
    """Range and channel means of each float tensor over `frames`, uint8 (H, W, 3) BGR."""
    names = inner_floats(model)
    # The frame is NHWC: in a graph for frames of any size its second axis is open, and no channel.
    with_channels = {
        value.name
        for value in model.graph.value_info
        if len(dimensions := value.type.tensor_type.shape.dim) == _NCHW and dimensions[1].HasField("dim_value")
    }
    # Reduced inside the graph: all tensors of a deep network at once would fill the memory.
    copy = ModelProto.FromString(model.SerializeToString())
    graph = copy.graph
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), _AXES))
    outputs = []
    for name in names:
        graph.node.append(helper.make_node("Abs", [name], [f"{name}.abs"]))
        graph.node.append(helper.make_node("ReduceMax", [f"{name}.abs"], [f"{name}.peak"], keepdims=0))
        outputs.append(f"{name}.peak")
        if name in with_channels:
            graph.node.append(helper.make_node("ReduceMean", [name, _AXES], [f"{name}.means"], keepdims=0))
            outputs.append(f"{name}.means")
    graph.value_info.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    observe = Observer(copy, outputs)
    observed = [observe(frame) for frame in frames]
    return {
        name: TensorStatistics(
            peak=max(float(values[f"{name}.peak"]) for values in observed),
            means=np.mean([values[f"{name}.means"] for values in observed], axis=0) if name in with_channels else None,
        )
        for name in names
    }
