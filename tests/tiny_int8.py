"""The tiny network's graph with a range table, and hand-made graphs for single rules of quantisation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import FRAME, IMAGE, LABELS, LOGITS
from edgeseg.quantize.ranges import RangeTable, observe_ranges
from edgeseg.types import Frame

SIZE_HW = (16, 24)


def noise(size_hw: tuple[int, int], count: int = 2, seed: int = 0) -> list[Frame]:
    """uint8 (H, W, 3) frames with structure: large squares of random colours."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    frames = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        frames.append(np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width]))
    return frames


def table_of(model: ModelProto, size_hw: tuple[int, int]) -> RangeTable:
    """Ranges of all tensors on two frames."""
    return observe_ranges(model, noise(size_hw), calibration_digest="0" * 64)


def conv(name: str, source: str, target: str, *, stride: int = 1, bias: bool = True, kernel: int = 3) -> NodeProto:
    """A convolution with padding; its weights are NAME.weight and NAME.bias."""
    pad = kernel // 2
    inputs = [source, f"{name}.weight", *([f"{name}.bias"] if bias else [])]
    return helper.make_node("Conv", inputs, [target], name=name, strides=[stride] * 2, pads=[pad] * 4)


def weights(name: str, shape: tuple[int, int, int, int], *, bias: bool = True, seed: int = 0) -> list[TensorProto]:
    """Normal weights, each channel at another scale, and a bias."""
    rng = np.random.default_rng([seed, len(name), *map(ord, name)])
    kernel = rng.normal(0, 0.5, shape) * np.geomspace(0.2, 1.5, shape[0]).reshape(-1, 1, 1, 1)
    tensors = [numpy_helper.from_array(kernel.astype(np.float32), f"{name}.weight")]
    if bias:
        tensors.append(numpy_helper.from_array(rng.normal(0, 0.3, shape[0]).astype(np.float32), f"{name}.bias"))
    return tensors


def sealed(nodes: Sequence[NodeProto], constants: Sequence[TensorProto], classes: int = 3) -> ModelProto:
    """A sealed graph around `nodes`, which make "logits" (1, classes, h, w) of "image" (1, 3, h, w)."""
    height, width = SIZE_HW
    before = [
        helper.make_node("Cast", [FRAME], ["real"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], name="planes", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["centred"], name="centre"),
        helper.make_node("Div", ["centred", "std"], [IMAGE], name="scale"),
    ]
    after = [
        helper.make_node("ArgMax", [LOGITS], ["ids"], name="argmax", axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["real_ids"], name="ids_real", to=TensorProto.FLOAT),
        helper.make_node("Cast", ["real_ids"], [LABELS], name="labels", to=TensorProto.UINT8),
    ]
    grey = [
        numpy_helper.from_array(np.full((1, 3, 1, 1), value, np.float32), name)
        for name, value in (("mean", 120.0), ("std", 60.0))
    ]
    graph = helper.make_graph(
        [*before, *nodes, *after],
        "tiny",
        [helper.make_tensor_value_info(FRAME, TensorProto.UINT8, [1, height, width, 3])],
        [helper.make_tensor_value_info(LABELS, TensorProto.UINT8, [1, height, width])],
        [*grey, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def residual() -> ModelProto:
    """Stem, activation, a block with a skip, a convolution to features, the scores."""
    nodes = [
        conv("stem", IMAGE, "stem_out"),
        helper.make_node("Relu", ["stem_out"], ["stem_relu"], name="stem_act"),
        conv("first", "stem_relu", "first_out"),
        helper.make_node("Relu", ["first_out"], ["first_relu"], name="first_act"),
        conv("second", "first_relu", "second_out"),
        helper.make_node("Add", ["second_out", "stem_relu"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["sum_relu"], name="sum_act"),
        conv("third", "sum_relu", "third_out", bias=False),
        helper.make_node("Relu", ["third_out"], ["third_relu"], name="third_act"),
        conv("classifier", "third_relu", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (8, 3, 3, 3)),
        *weights("first", (8, 8, 3, 3)),
        *weights("second", (8, 8, 3, 3)),
        *weights("third", (8, 8, 3, 3), bias=False),
        *weights("classifier", (3, 8, 1, 1)),
    ]
    return sealed(nodes, constants)


@lru_cache(maxsize=1)
def residual_table() -> RangeTable:
    """Its ranges."""
    return table_of(residual(), SIZE_HW)


def upsampled() -> ModelProto:
    """A sealed graph with a transposed convolution, `up`, between two convolutions."""
    nodes = [
        conv("stem", IMAGE, "features", stride=2),
        helper.make_node("ConvTranspose", ["features", "up.weight"], ["large"], name="up", strides=[2, 2]),
        conv("blend", "large", "blended"),
        conv("classifier", "blended", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (4, 3, 3, 3)),
        *weights("up", (4, 4, 2, 2), bias=False),
        *weights("blend", (4, 4, 3, 3)),
        *weights("classifier", (3, 4, 1, 1)),
    ]
    return sealed(nodes, constants)
