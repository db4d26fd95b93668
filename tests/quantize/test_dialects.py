"""Both dialects of one range table: what they compute, in which types, and that they fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from tiny_graph import SIZE_HW as EXPORTED_HW
from tiny_int8 import SIZE_HW, noise, residual, residual_table, table_of

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import FRAME, IMAGE, LOGITS
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.rounding import emulate_fp16
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.dialects.cpu import asymmetric
from edgeseg.quantize.dialects.qdq import round_weights, weight_scales
from edgeseg.quantize.dialects.trt import SMALLEST_SCALE, symmetric
from edgeseg.quantize.placement import CPU, TRT
from edgeseg.quantize.ranges import RangeTable


def _session(model: ModelProto, *, optimised: bool = True, to: Path | None = None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if to is not None:
        options.optimized_model_filepath = str(to)
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _logits(model: ModelProto, frame: NDArray[np.uint8], *, optimised: bool = True) -> NDArray[np.float32]:
    copy = ModelProto.FromString(model.SerializeToString())
    kind = tensor_types(onnx.shape_inference.infer_shapes(copy))[LOGITS]
    copy.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, kind, None))
    (logits,) = _session(copy, optimised=optimised).run([LOGITS], {FRAME: frame[np.newaxis]})
    return np.asarray(logits, np.float32)


def _error(reference: ModelProto, candidate: ModelProto, size_hw: tuple[int, int], *, optimised: bool = True) -> float:
    """Root mean square of the difference of logits, relative to their deviation."""
    differences, values = [], []
    for frame in noise(size_hw):
        exact = _logits(reference, frame)
        differences.append(_logits(candidate, frame, optimised=optimised) - exact)
        values.append(exact)
    return float(np.sqrt(np.mean(np.square(differences))) / np.std(values))


def test_ranges_become_scales_with_an_exact_zero() -> None:
    relu6 = asymmetric(0.0, 6.0)
    assert relu6.scale == np.float32(6 / 255)
    assert relu6.zero_point == 0
    mixed = asymmetric(-1.0, 3.0)
    assert mixed.zero_point == 64  # 1 / (4 / 255) = 63.75
    assert asymmetric(2.0, 4.0).zero_point == 0, "zero must be representable, for padding"
    assert asymmetric(0.0, 0.0).scale > 0
    assert symmetric(-2.0, 1.0).scale == np.float32(2 / 127)
    assert symmetric(0.0, 1e-9, np.float16).scale == SMALLEST_SCALE


def test_weights_reach_127_in_every_channel_and_zeros_stay_zeros() -> None:
    values = np.zeros((3, 2, 3, 3), np.float32)
    values[0], values[1, 0, 0, 0] = 0.5, -1e-3
    scales = weight_scales(values, 0)
    integers = round_weights(values, scales, 0)
    assert [int(np.abs(channel).max()) for channel in integers] == [127, 127, 0]
    assert (scales > 0).all()


@pytest.mark.parametrize(
    ("dialect", "first_in_float", "bound"), [(CPU, True, 0.05), (CPU, False, 0.06), (TRT, False, 0.08)]
)
def test_logits_are_near_those_of_fp32(
    dialect: str, first_in_float: bool, bound: float, exported: ExportedGraph
) -> None:
    for model, table, size in (
        (residual(), residual_table(), SIZE_HW),
        (exported.model, table_of(exported.model, EXPORTED_HW), EXPORTED_HW),
    ):
        keep = [node.name for node in model.graph.node if first_in_float and IMAGE in node.input]
        quantised = quantize(model, table, dialect=dialect, method="min-max", keep=keep, fp16=False).model
        assert 0 < _error(model, quantised, size) < bound


def test_trt_in_fp16_is_near_too_unoptimised_and_with_the_rounding_written_out() -> None:
    model = residual()
    quantised = quantize(model, residual_table(), dialect=TRT, method="min-max").model
    assert _error(model, quantised, SIZE_HW, optimised=False) < 0.08
    written_out = emulate_fp16(onnx.shape_inference.infer_shapes(quantised))
    assert _error(model, written_out, SIZE_HW) < 0.08


def test_on_cpu_everything_from_the_frame_to_the_head_runs_on_integers(tmp_path: Path) -> None:
    quantised = quantize(residual(), residual_table(), dialect=CPU, method="min-max")
    _session(quantised.model, to=tmp_path / "optimised.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds[0] == "QLinearConv", "it reads the frame itself"
    assert kinds.count("QLinearConv") == 4
    assert kinds.count("QLinearAdd") == 1
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (0, 1)
    assert not {"Add", "Relu"}.intersection(kinds)


def test_bias_is_int32_at_the_scale_of_the_product() -> None:
    model = quantize(residual(), residual_table(), dialect=CPU, method="min-max").model
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    product = constants["stem_relu.scale"] * constants["first.weight.scale"]
    np.testing.assert_allclose(constants["first.bias.scale"], product, rtol=1e-6)
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in residual().graph.initializer}["first.bias"]
    np.testing.assert_allclose(constants["first.bias.q"] * product.astype(np.float64), exact, atol=product.max())


def test_a_bias_that_would_overflow_raises_the_scale_of_its_channel() -> None:
    model = residual()
    for tensor in model.graph.initializer:
        if tensor.name in ("first.weight", "first.bias"):
            values = numpy_helper.to_array(tensor).copy()
            values[0] = 1e-9 if tensor.name == "first.weight" else 3.0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    quantised = quantize(model, table_of(model, SIZE_HW), dialect=CPU, method="min-max").model
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    assert constants["first.bias.q"][0] * constants["first.bias.scale"][0] == pytest.approx(3.0, rel=1e-5)


def test_types_of_the_trt_dialect() -> None:
    model = quantize(residual(), residual_table(), dialect=TRT, method="min-max").model
    types = tensor_types(onnx.shape_inference.infer_shapes(model))
    assert types["first.weight.q"] == TensorProto.INT8
    assert types["first.weight.scale"] == types["stem_relu.scale"] == types["first.bias"] == TensorProto.FLOAT16
    assert types["stem_relu.q"] == TensorProto.INT8
    assert types[LOGITS] == TensorProto.FLOAT16
    plain = quantize(residual(), residual_table(), dialect=TRT, method="min-max", fp16=False).model
    assert tensor_types(plain)["first.weight.scale"] == TensorProto.FLOAT


def test_weights_of_the_trt_dialect_are_rounded_with_the_scale_that_is_written() -> None:
    model = quantize(residual(), residual_table(), dialect=TRT, method="min-max").model
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale = constants["second.weight.scale"].astype(np.float32).reshape(-1, 1, 1, 1)
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in residual().graph.initializer}["second.weight"]
    assert (np.abs(constants["second.weight.q"] * scale - exact) <= scale / 2 * 1.02).all()


def test_tensors_and_nodes_keep_their_names_and_the_model_is_left_alone() -> None:
    model = residual()
    before = model.SerializeToString()
    for dialect in (CPU, TRT):
        after = quantize(model, residual_table(), dialect=dialect, method="min-max").model
        # For CPUs the first convolution reads the frame: nothing normalises it.
        kept = [node for node in model.graph.node if dialect == TRT or node.op_type not in ("Sub", "Div")]
        cast = {"cast", "real", "planes"} if dialect == CPU else set()
        assert {node.name for node in kept} - cast <= {node.name for node in after.graph.node}
        assert {node.output[0] for node in kept} - cast <= {node.output[0] for node in after.graph.node}
    assert model.SerializeToString() == before


@pytest.mark.parametrize("dialect", [CPU, TRT])
def test_kept_layers_are_float_and_reported(dialect: str) -> None:
    quantised = quantize(residual(), residual_table(), dialect=dialect, method="min-max", keep=["second"])
    constants = {tensor.name: tensor.data_type for tensor in quantised.model.graph.initializer}
    assert constants["second.weight"] in (TensorProto.FLOAT, TensorProto.FLOAT16)
    assert "second.weight.q" not in constants
    assert "accuracy" in quantised.report["kept_float"]["second"]
    assert quantised.report["int8_convolutions"] == len(quantised.placement.weights)


def test_a_table_of_another_graph_is_refused(exported: ExportedGraph) -> None:
    table = residual_table()
    with pytest.raises(ConfigError, match=r"ranges are of graph"):
        quantize(exported.model, table, dialect=CPU)
    alone = RangeTable(table.graph_sha256, "", 1, {"min-max": {}})
    with pytest.raises(Exception, match=r"tensor"):
        quantize(residual(), alone, dialect=CPU, method="min-max")
    with pytest.raises(ConfigError, match=r"dialect 'dla'"):
        quantize(residual(), table, dialect="dla")
