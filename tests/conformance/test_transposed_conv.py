"""Transposed convolution, five times: by its definition, in PyTorch, in ONNX Runtime as the operator and as the
convolution that the export writes for it, as interpolation.

The definition is a sum of shifted kernels: input pixel i adds its value times the kernel to the output, from s·i − p
on, in steps of the dilation d. Along one axis the output has n' = s·(n − 1) + d·(k − 1) + 1 − 2p + o pixels, o being
the output padding; with d = 1 and o = 0 that is s·n + k − 2p − s.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.models.upsampling import bilinear_kernel, transposed_upsample

Array = NDArray[np.float32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """One transposed convolution; pairs are (vertical, horizontal)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    output_padding: Pair
    dilation: Pair
    groups: int
    channels: Pair
    """In, out."""
    size: Pair

    @property
    def output_size(self) -> Pair:
        """By the formula."""
        height, width = (
            stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * padding + extra
            for size, kernel, stride, padding, extra, dilation in zip(
                self.size, self.kernel, self.stride, self.padding, self.output_padding, self.dilation, strict=True
            )
        )
        return height, width

    @property
    def possible(self) -> bool:
        """Whether there is an output, and ONNX Runtime's rule for output padding holds, which is the stricter."""
        rule = zip(self.output_padding, self.stride, strict=True)
        return min(self.output_size) > 0 and all(extra < stride for extra, stride in rule)

    def tensors(self) -> tuple[Array, Array, Array]:
        """Input (1, C_in, h, w), weights (C_in, C_out / groups, k, k), bias (C_out)."""
        rng = np.random.default_rng([*self.kernel, *self.stride, *self.size, *self.channels])
        inside, outside = self.channels
        image = rng.normal(size=(1, inside, *self.size))
        weights = rng.normal(size=(inside, outside // self.groups, *self.kernel))
        return image.astype(np.float32), weights.astype(np.float32), rng.normal(size=outside).astype(np.float32)


def by_definition(case: Case) -> NDArray[np.float64]:
    """Sum of shifted kernels, in float64: (1, C_out, h', w')."""
    image, weights, bias = (values.astype(np.float64) for values in case.tensors())
    (stride_y, stride_x), (dilation_y, dilation_x) = case.stride, case.dilation
    height, width = case.size
    grouped = image[0].reshape(case.groups, -1, height, width)
    kernels = weights.reshape(case.groups, -1, *weights.shape[1:])
    # A canvas on which every kernel fits, the output padding included; what was padding is cut off afterwards.
    out_height, out_width = case.output_size
    canvas = np.zeros((case.channels[1], out_height + 2 * case.padding[0], out_width + 2 * case.padding[1]))
    for row, column in itertools.product(range(case.kernel[0]), range(case.kernel[1])):
        values = np.einsum("gchw,gco->gohw", grouped, kernels[..., row, column]).reshape(-1, height, width)
        top, left = row * dilation_y, column * dilation_x
        rows = slice(top, top + (height - 1) * stride_y + 1, stride_y)
        columns = slice(left, left + (width - 1) * stride_x + 1, stride_x)
        canvas[:, rows, columns] += values
    top, left = case.padding
    return np.asarray(canvas[None, :, top : top + out_height, left : left + out_width] + bias[:, None, None])


def in_pytorch(case: Case) -> Array:
    """`F.conv_transpose2d`."""
    image, weights, bias = (torch.from_numpy(values) for values in case.tensors())
    output = F.conv_transpose2d(
        image, weights, bias, case.stride, case.padding, case.output_padding, case.groups, case.dilation
    )
    return output.numpy()


def node_of(case: Case, index: int) -> NodeProto:
    """The ONNX operator with the attributes that PyTorch's exporter writes: explicit pads, never output_shape."""
    return helper.make_node(
        "ConvTranspose",
        [f"x{index}", f"w{index}", f"b{index}"],
        [f"y{index}"],
        auto_pad="NOTSET",
        kernel_shape=list(case.kernel),
        strides=list(case.stride),
        pads=[*case.padding, *case.padding],
        output_padding=list(case.output_padding),
        dilations=list(case.dilation),
        group=case.groups,
    )


def in_onnxruntime(cases: Sequence[Case]) -> list[Array]:
    """All cases as operators of one graph."""
    return run(*graph_of(cases))


def as_convolutions(cases: Sequence[Case]) -> tuple[int, list[Array]]:
    """The same graph rewritten, and how many transposed convolutions went."""
    model, feeds = graph_of(cases)
    rewritten = split_transposed_conv(model)
    left = sum(node.op_type == "ConvTranspose" for node in model.graph.node)
    assert rewritten + left == len(cases)
    return rewritten, run(model, feeds)


def graph_of(cases: Sequence[Case]) -> tuple[ModelProto, dict[str, Array]]:
    """A graph with input xi and output yi for case i, and its inputs."""
    weights, inputs, feeds = [], [], {}
    for index, case in enumerate(cases):
        image, kernel, bias = case.tensors()
        feeds[f"x{index}"] = image
        inputs.append(helper.make_tensor_value_info(f"x{index}", TensorProto.FLOAT, image.shape))
        weights += [numpy_helper.from_array(kernel, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
    outputs = [helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None) for index in range(len(cases))]
    nodes = [node_of(case, index) for index, case in enumerate(cases)]
    model = helper.make_model(
        helper.make_graph(nodes, "cases", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return model, feeds


def run(model: ModelProto, feeds: dict[str, Array]) -> list[Array]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, feeds)]


def assert_by_definition(cases: Sequence[Case], found: Sequence[Array]) -> None:
    """Each output of ONNX Runtime and of PyTorch against the definition."""
    for case, output in zip(cases, found, strict=True):
        expected = by_definition(case)
        assert expected.shape == (1, case.channels[1], *case.output_size)
        for name, values in (("onnxruntime", output), ("pytorch", in_pytorch(case))):
            assert values.shape == expected.shape, f"{name}: {case}"
            np.testing.assert_allclose(values, expected, rtol=0, atol=2e-5, err_msg=f"{name}: {case}")


def square(value: int) -> Pair:
    return value, value


GRID = [
    case
    for kernel, stride, padding, output_padding, dilation, groups, channels, size in itertools.product(
        ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (2, 3)),
        ((1, 1), (2, 2), (3, 3), (2, 1)),
        ((0, 0), (1, 1), (2, 2), (1, 0)),
        ((0, 0), (1, 1), (0, 1)),
        ((1, 1), (2, 2)),
        (1, 2),
        ((4, 4), (2, 6), (6, 2)),
        ((5, 7), (1, 1), (4, 4)),
    )
    if (case := Case(kernel, stride, padding, output_padding, dilation, groups, channels, size)).possible
]
"""kernel × stride × padding × output padding × dilation × groups × channels × size, as far as it is possible."""

USED_HERE = [
    Case(square(kernel), square(stride), square((kernel - stride) // 2), (0, 0), (1, 1), 1, (11, 11), size)
    for kernel, stride, size in ((4, 2, (12, 15)), (8, 4, (23, 30)), (16, 8, (12, 15)), (64, 32, (3, 4)))
]
"""What the networks of this project upsample with."""

SLICE = [*USED_HERE, *[GRID[index] for index in np.random.default_rng(0).choice(len(GRID), 150, replace=False)]]


def test_the_slice_has_every_value_of_every_parameter() -> None:
    for name in ("kernel", "stride", "padding", "output_padding", "dilation", "groups", "channels", "size"):
        assert {getattr(case, name) for case in GRID} <= {getattr(case, name) for case in SLICE}


def test_slice_of_the_grid_against_the_definition() -> None:
    assert_by_definition(SLICE, in_onnxruntime(SLICE))


@pytest.mark.slow
def test_the_whole_grid_against_the_definition() -> None:
    assert len(GRID) > 5000
    for start in range(0, len(GRID), 500):
        cases = GRID[start : start + 500]
        assert_by_definition(cases, in_onnxruntime(cases))


def test_slice_of_the_grid_as_convolutions() -> None:
    rewritten, found = as_convolutions(SLICE)
    # The rest has other strides down than across, or padding that cuts off whole inputs.
    assert rewritten == 126
    assert_by_definition(SLICE, found)


@pytest.mark.slow
def test_the_whole_grid_as_convolutions() -> None:
    rewritten = 0
    for start in range(0, len(GRID), 500):
        cases = GRID[start : start + 500]
        count, found = as_convolutions(cases)
        rewritten += count
        assert_by_definition(cases, found)
    assert rewritten == 4884


def test_output_padding_beyond_the_stride_is_refused_rather_than_computed_otherwise() -> None:
    """PyTorch allows it below the dilation, ONNX Runtime does not: such a network cannot be exported silently wrong."""
    case = Case((3, 3), (1, 1), (1, 1), (1, 1), (2, 2), 1, (2, 2), (5, 7))
    assert in_pytorch(case).shape[-2:] == case.output_size
    with pytest.raises(Exception, match=r"(?i)output_padding|output shape"):
        in_onnxruntime([case])


def test_as_pytorch_exports_it() -> None:
    """The exporter writes the very operators that the grid is built of, and they compute the same."""
    cases = [case for case in SLICE if case.size == (5, 7)][4:10] + USED_HERE[:1]

    class All(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList()
            for case in cases:
                inside, outside = case.channels
                layer = nn.ConvTranspose2d(
                    inside,
                    outside,
                    case.kernel,
                    case.stride,
                    case.padding,
                    case.output_padding,
                    case.groups,
                    dilation=case.dilation,
                )
                _, weights, bias = case.tensors()
                layer.weight = nn.Parameter(torch.from_numpy(weights))
                layer.bias = nn.Parameter(torch.from_numpy(bias))
                self.layers.append(layer)

        def forward(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
            return [layer(image) for layer, image in zip(self.layers, images, strict=True)]

    images = [torch.from_numpy(case.tensors()[0]) for case in cases]
    program = torch.onnx.export(All().eval(), (images,), dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    model = program.model_proto
    exported = [node for node in model.graph.node if node.op_type == "ConvTranspose"]
    assert len(exported) == len(cases)
    for case, node in zip(cases, exported, strict=True):
        written = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        expected = {attribute.name: helper.get_attribute_value(attribute) for attribute in node_of(case, 0).attribute}
        assert written == expected
    feeds = {value.name: case.tensors()[0] for value, case in zip(model.graph.input, cases, strict=True)}
    assert_by_definition(cases, run(model, feeds))


@pytest.mark.parametrize("size", [1, 2, 7, 12, 15])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(64, 32, 16), (16, 8, 4), (4, 2, 1), (3, 2, 1), (5, 3, 0)])
def test_the_size_formula_of_the_textbook(size: int, kernel: int, stride: int, padding: int) -> None:
    layer = nn.ConvTranspose2d(1, 1, kernel, stride, padding)
    expected = stride * size + kernel - 2 * padding - stride
    assert layer(torch.zeros(1, 1, size, size)).shape[-2:] == (expected, expected)


@pytest.mark.parametrize("stride", [2, 4, 8, 32])
def test_bilinear_initialisation_is_interpolation_inside(stride: int) -> None:
    image = torch.rand(1, 2, 6, 7, generator=torch.Generator().manual_seed(stride))
    with torch.no_grad():
        upsampled = transposed_upsample(2, 2, stride=stride)(image)
    expected = F.interpolate(image, scale_factor=stride, mode="bilinear", align_corners=False)
    margin = stride // 2
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(upsampled[inside], expected[inside], rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", [2, 4, 8, 32])
def test_at_the_border_exactly_the_share_of_the_kernel_outside_is_missing(stride: int) -> None:
    image = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(stride))
    with torch.no_grad():
        upsampled = transposed_upsample(1, 1, stride=stride)(image)[0, 0].numpy()
    expected = F.interpolate(image, scale_factor=stride, mode="bilinear", align_corners=False)[0, 0].numpy()
    # The first half stride of pixels hears of one input pixel alone, through a growing part of the triangle.
    ramp = 0.5 + (np.arange(stride // 2) + 0.5) / stride
    shares = [np.concatenate([ramp, np.ones(stride * (size - 1)), ramp[::-1]]) for size in (5, 6)]
    np.testing.assert_allclose(upsampled, expected * np.outer(*shares), rtol=0, atol=1e-6)
    assert upsampled[0, 0] == pytest.approx(image[0, 0, 0, 0] * (0.5 + 0.5 / stride) ** 2)


def test_bilinear_initialisation_by_definition_in_onnxruntime() -> None:
    """The shipped kernel through the runtime beside ONNX's own Resize."""
    image = np.random.default_rng(1).normal(size=(1, 1, 9, 11)).astype(np.float32)
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["grown"], strides=[4, 4], pads=[2, 2, 2, 2]),
        helper.make_node(
            "Resize", ["x", "", "scales"], ["resized"], mode="linear", coordinate_transformation_mode="half_pixel"
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "both",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("grown", "resized")],
        [
            numpy_helper.from_array(bilinear_kernel(8, 4)[None, None], "w"),
            numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales"),
        ],
    )
    grown, resized = run(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), {"x": image}
    )
    assert grown.shape == resized.shape == (1, 1, 36, 44)
    np.testing.assert_allclose(grown[..., 2:-2, 2:-2], resized[..., 2:-2, 2:-2], rtol=0, atol=1e-6)
