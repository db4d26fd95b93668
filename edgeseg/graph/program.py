"""PyTorch's exported program beside the graph that was made from it, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from onnx import ModelProto

from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.locate import Divergence, divergence, relative_error
from edgeseg.graph.observe import Observer, Tensors, inner_floats
from edgeseg.types import Frame


def locate_fp32(exported: ExportedGraph, model: ModelProto, frame_bgr: Frame) -> Divergence:
    """Compare the PyTorch program that `exported` was made from with `model`, an FP32 graph of the same network."""
    found = Observer(model, inner_floats(model))(frame_bgr)
    recorder = _Comparer(exported.program.module(), found, exported.renamed)
    with torch.inference_mode():
        recorder.run(torch.from_numpy(np.array(frame_bgr[np.newaxis])))
    return divergence("torch-fp32", "fp32", model, recorder.errors)


class _Comparer(torch.fx.Interpreter):
    """Runs a program and compares each tensor as it appears, so that only one side's tensors are in memory."""

    def __init__(self, module: torch.fx.GraphModule, found: Tensors, renamed: Mapping[str, str]) -> None:
        super().__init__(module)
        self._found = found
        self._renamed = renamed
        self.errors: dict[str, float] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Compute one node, as the base class does, and compare what comes out."""
        value = super().run_node(n)
        name = self._renamed.get(n.name, n.name)
        if name in self._found and isinstance(value, torch.Tensor) and value.shape == self._found[name].shape:
            self.errors[name] = relative_error(value.numpy(), self._found[name])
        return value
