"""FP16 on a CPU: each result rounded and overflowing as float16 does, products summed in float32."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import LABELS, LOGITS
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.observe import Observer
from edgeseg.graph.rounding import emulate_fp16


def _half_model(nodes: list[NodeProto], **weights: NDArray[np.float16]) -> ModelProto:
    """`nodes` from float16 "a" to float16 "b", with casts from x and to y around them."""
    before = helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16)
    after = helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)
    inside = {name for node in nodes for name in node.output}
    graph = helper.make_graph(
        [before, *nodes, after],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in {"a", *inside}],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _run(model: ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def _constant(value: float) -> NDArray[np.float32]:
    return np.full((1, 2, 3, 3), value, np.float32)


def test_every_result_is_rounded() -> None:
    big = np.array(2048, np.float16)
    nodes = [helper.make_node("Add", ["a", "big"], ["sum"]), helper.make_node("Sub", ["sum", "big"], ["b"])]
    # Above 2048 the step of float16 is 2, so what is added is lost or doubled.
    x = np.linspace(0.1, 3.9, 18, dtype=np.float32).reshape(1, 2, 3, 3)
    expected = ((x.astype(np.float16) + big) - big).astype(np.float32)
    np.testing.assert_array_equal(_run(emulate_fp16(_half_model(nodes, big=big)), x), expected)
    assert set(expected.ravel()) == {0.0, 2.0, 4.0}


def test_what_is_too_large_overflows() -> None:
    nodes = [helper.make_node("Mul", ["a", "hundred"], ["b"])]
    model = emulate_fp16(_half_model(nodes, hundred=np.array(100, np.float16)))
    assert np.isinf(_run(model, _constant(700.0))).all()
    assert np.isfinite(_run(model, _constant(600.0))).all()


def test_products_are_summed_in_float32() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 2, 3, 3)).astype(np.float16)
    x = rng.normal(size=(1, 2, 3, 3)).astype(np.float32)
    model = emulate_fp16(_half_model([helper.make_node("Conv", ["a", "w"], ["b"])], w=weights))
    exact = np.einsum("ochw,nchw->no", weights.astype(np.float64), x.astype(np.float16).astype(np.float64))
    np.testing.assert_array_equal(_run(model, x)[..., 0, 0], exact.astype(np.float16).astype(np.float32))


def test_weights_are_the_rounded_ones() -> None:
    weights = np.array(0.1, np.float16)
    model = emulate_fp16(_half_model([helper.make_node("Mul", ["a", "w"], ["b"])], w=weights))
    assert _run(model, _constant(1.0))[0, 0, 0, 0] == np.float32(weights)


def test_a_sealed_graph_keeps_its_edges_and_shows_the_rounding(exported: ExportedGraph) -> None:
    half = convert_to_fp16(exported.model).model
    frame = np.random.default_rng(5).integers(0, 256, (50, 70, 3), np.uint8)
    tensors = Observer(emulate_fp16(half), [LOGITS, LABELS])(frame)
    assert tensors[LABELS].dtype == np.uint8
    logits = tensors[LOGITS]
    np.testing.assert_array_equal(logits, logits.astype(np.float16).astype(np.float32))
    exact = Observer(exported.model, [LOGITS])(frame)[LOGITS]
    assert 1e-5 < np.abs(logits - exact).max() / np.abs(exact).max() < 1e-2
