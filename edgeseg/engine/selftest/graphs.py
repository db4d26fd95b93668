"""Small sealed graphs with known answers: uint8 frame (1, H, W, 3) BGR in, uint8 labels (1, H, W) out, ONNX opset 20.

The frame becomes class scores at a fraction of its size, a transposed convolution brings them back, ArgMax decides: the
end of every FCN, with random weights. Needs onnx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.graph.contract import FRAME, IMAGE, LABELS, LOGITS, OPSET
from edgeseg.lazy import require

Hw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Upsampling:
    """One transposed convolution, and the frame (height, width in pixels) that it brings class scores back to."""

    kernel: int
    stride: int
    padding: int
    output_padding: int = 0
    depthwise: bool = False
    classes: int = 8
    frame_hw: Hw = (48, 64)

    @property
    def name(self) -> str:
        """For reports."""
        extra = f" +{self.output_padding}" if self.output_padding else ""
        kind = " depthwise" if self.depthwise else ""
        height, width = self.frame_hw
        return f"{self.kernel}x{self.kernel} /{self.stride} p{self.padding}{extra}{kind} to {height}x{width}"


SUITE = (
    Upsampling(2, 2, 0),
    Upsampling(4, 2, 1),
    Upsampling(4, 2, 1, frame_hw=(47, 63)),
    Upsampling(4, 2, 0, frame_hw=(45, 61)),
    Upsampling(3, 2, 1, output_padding=1),
    Upsampling(5, 3, 1, frame_hw=(50, 70)),
    Upsampling(4, 2, 1, depthwise=True),
    Upsampling(16, 8, 4),
    Upsampling(16, 8, 0, frame_hw=(50, 70)),
    Upsampling(64, 32, 16, frame_hw=(96, 128)),
)
"""What FCNs are made of: kernels twice the stride, crops, odd sizes, output padding, one filter a class."""

ARGMAX_FORMS = ("argmax", "topk", "channels last")
"""Ways of saying which class wins, all of them with the first of equals."""


def upsampling_graph(case: Upsampling, *, argmax: str = "argmax", seed: int = 0) -> Any:
    """An ONNX model of one case; `argmax` is one of `ARGMAX_FORMS`."""
    onnx = require("onnx", extra="tensorrt")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    rng = np.random.default_rng(seed)
    height, width = case.frame_hw
    step, classes = case.stride, case.classes
    groups = classes if case.depthwise else 1
    down = rng.normal(size=(classes, 3, step, step)).astype(np.float32) / (step * np.sqrt(3.0, dtype=np.float32))
    up = rng.normal(size=(classes, classes // groups, case.kernel, case.kernel)).astype(np.float32)
    bias = rng.normal(size=classes).astype(np.float32)
    low = [-(-side // step) for side in case.frame_hw]
    missing = [blocks * step - side for blocks, side in zip(low, case.frame_hw, strict=True)]
    ahead, behind = case.padding, _end_padding(case, low)
    constants = {
        "mean": np.full((1, 3, 1, 1), 127.5, np.float32),
        "std": np.full((1, 3, 1, 1), 64.0, np.float32),
        "down": down,
        "up": up,
        "up.bias": bias,
        "crop.starts": np.zeros(2, np.int64),
        "crop.ends": np.array([height, width], np.int64),
        "crop.axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", [FRAME], ["levels"], "cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["centred"], "centred"),
        helper.make_node("Div", ["centred", "std"], [IMAGE], "normalise"),
        helper.make_node("Conv", [IMAGE, "down"], ["scores"], "down", strides=[step] * 2, pads=[0, 0, *missing]),
        helper.make_node(
            "ConvTranspose",
            ["scores", "up", "up.bias"],
            ["upsampled"],
            "up",
            strides=[step] * 2,
            pads=[ahead, ahead, *behind],
            output_padding=[case.output_padding] * 2,
            group=groups,
        ),
        helper.make_node("Slice", ["upsampled", "crop.starts", "crop.ends", "crop.axes"], [LOGITS], "crop"),
        *_decide(helper, onnx.TensorProto, argmax, constants),
    ]
    return _model(onnx, "upsampling", nodes, constants, case.frame_hw, array)


def dividing_graph(frame_hw: Hw) -> Any:
    """Logits blue/green, green/red, red/blue: NaN where a pixel is black, infinite where one channel is."""
    onnx = require("onnx", extra="tensorrt")
    helper = onnx.helper
    constants = {"others": np.array([1, 2, 0], np.int64)}
    nodes = [
        helper.make_node("Cast", [FRAME], ["levels"], "cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], [IMAGE], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Gather", [IMAGE, "others"], ["divisors"], "divisors", axis=1),
        helper.make_node("Div", [IMAGE, "divisors"], [LOGITS], "divide"),
        *_decide(helper, onnx.TensorProto, "argmax", constants),
    ]
    return _model(onnx, "dividing", nodes, constants, frame_hw, onnx.numpy_helper.from_array)


def _end_padding(case: Upsampling, low: list[int]) -> list[int]:
    """Padding at the lower and right edge: as asked, less where the frame would not be reached otherwise."""
    whole = [case.stride * (side - 1) + case.kernel - case.padding + case.output_padding for side in low]
    return [min(case.padding, max(0, size - side)) for size, side in zip(whole, case.frame_hw, strict=True)]


def _decide(helper: Any, kinds: Any, form: str, constants: dict[str, np.ndarray[Any, Any]]) -> list[Any]:
    """Nodes from the logits (1, C, H, W) to the labels."""
    if form == "argmax":
        nodes = [helper.make_node("ArgMax", [LOGITS], ["winners"], "decide", axis=1, keepdims=1)]
    elif form == "topk":
        constants["one"] = np.array([1], np.int64)
        nodes = [helper.make_node("TopK", [LOGITS, "one"], ["lead", "winners"], "decide", axis=1)]
    else:
        nodes = [
            helper.make_node("Transpose", [LOGITS], ["last"], "last", perm=[0, 2, 3, 1]),
            helper.make_node("ArgMax", ["last"], ["flat"], "decide", axis=3, keepdims=0),
            helper.make_node("Unsqueeze", ["flat", "classes"], ["winners"], "unsqueeze"),
        ]
    constants["classes"] = np.array([1], np.int64)
    return [
        *nodes,
        helper.make_node("Cast", ["winners"], ["ids"], "ids", to=kinds.FLOAT),
        helper.make_node("Squeeze", ["ids", "classes"], ["plane"], "plane"),
        helper.make_node("Cast", ["plane"], [LABELS], "labels", to=kinds.UINT8),
    ]


def _model(onnx: Any, name: str, nodes: list[Any], constants: dict[str, Any], frame_hw: Hw, array: Any) -> Any:
    height, width = frame_hw
    kind = onnx.TensorProto.UINT8
    frame = onnx.helper.make_tensor_value_info(FRAME, kind, [1, height, width, 3])
    labels = onnx.helper.make_tensor_value_info(LABELS, kind, [1, height, width])
    weights = [array(values, key) for key, values in constants.items()]
    graph = onnx.helper.make_graph(nodes, name, [frame], [labels], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
