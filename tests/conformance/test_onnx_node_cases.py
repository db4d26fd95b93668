"""The ONNX project's own node cases for the operators of our graphs: as given, and through every graph pass.

A case is one operator with inputs and the outputs that ONNX expects. What a trained network would hold as weights
becomes constant, as in an exported graph, the passes rewrite what they know, and ONNX Runtime must still give what is
expected, within the tolerance of ONNX's own backend test.

The cases are those of the installed onnx, which generates them, or those of a folder that EDGESEG_ONNX_CASES names:
onnx/backend/test/data/node as the wheels up to onnx 1.19.1 ship it. ONNX Runtime loads all of that release; a newer
onnx is ahead of it, and what it does not load yet is skipped with its message.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as generated
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph import passes
from edgeseg.graph.contract import LABELS, LOGITS, OPSET
from edgeseg.graph.passes.decide_before_shuffle import decide_before_shuffle
from edgeseg.graph.passes.fold_batch_norm import fold_batch_norm
from edgeseg.graph.passes.mark_invalid import mark_invalid
from edgeseg.graph.passes.separate_channels import separate_channels
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.runtime.ort import CPU, one_line, session_options

Array = NDArray[Any]

FOLDER = os.environ.get("EDGESEG_ONNX_CASES")

_OF_OUR_GRAPHS = """
    Abs Add And ArgMax BatchNormalization Cast Clip Concat Conv ConvTranspose DepthToSpace DequantizeLinear Div Equal
    Exp Gemm HardSigmoid HardSwish Less Max MaxPool Mul Not Or QuantizeLinear ReduceMax ReduceMean ReduceSum Relu
    Reshape Resize Round Shape Sigmoid Slice SpaceToDepth Squeeze Sub Transpose Unsqueeze Where
"""
"""Found in exports of the registry's networks: as translated, FP32, FP16, both INT8 dialects, any size, confidence."""

_OF_FOREIGN_NETWORKS = "GlobalAveragePool Pad Softmax"
"""What other people's segmentation networks bring, and our precisions have rules for or leave alone."""

OPERATORS = set(f"{_OF_OUR_GRAPHS} {_OF_FOREIGN_NETWORKS}".split())

TYPES = {getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "UINT8", "INT8", "INT32", "INT64", "BOOL")}
"""What tensors of our graphs hold. Cast and QuantizeLinear have dozens of cases for others."""

OF_EQUALS = {"Add", "And", "Concat", "Div", "Equal", "Less", "Max", "Mul", "Or", "Sub", "Where"}
"""Operators whose inputs are all computed. Of any other the first is, and the rest are weights, axes, sizes, scales."""

PASSES: Mapping[str, Callable[[ModelProto], int]] = {
    "fold_batch_norm": fold_batch_norm,
    "separate_channels": separate_channels,
    "split_transposed_conv": split_transposed_conv,
    "decide_before_shuffle": decide_before_shuffle,
    "mark_invalid": mark_invalid,
}  # all that take any graph, in the order of an export

ONLY_SEALED = {"give_confidence"}
"""Refuses a graph without our labels."""

DEVIATES = {
    f"test_resize_downsample_scales_{mode}_align_corners": "ONNX Runtime aligns the corners of whole output sizes, "
    "ONNX those of input size times scale. Our graphs never align corners"
    for mode in ("cubic", "linear")
}
"""Case → why ONNX Runtime gives something else than ONNX expects."""

LACKS = re.compile(r"NOT_IMPLEMENTED.*|Unsupported model IR version.*|Current official support.*|is not defined for.*")
"""What ONNX Runtime says of a case that it has no kernel for, or whose release of ONNX it does not know yet."""

LEFT_ALONE = {
    "test_convtranspose_1d": "one axis: no DepthToSpace",
    "test_convtranspose_3d": "three axes: no DepthToSpace",
    "test_convtranspose_autopad_same": "auto_pad",
    "test_convtranspose_kernel_shape": "output_shape, and other strides down than across",
    "test_convtranspose_output_shape": "output_shape, and other strides down than across",
    "test_convtranspose_pad": "other strides down than across",
    "test_convtranspose_pads": "other strides down than across",
}
"""Transposed convolution that `split_transposed_conv` does not rewrite → why. The four that it does have stride 1; all
strides are in test_transposed_conv.py."""

FLOOR = 295
"""Least number of cases: onnx 1.19.1 has 298, 1.23.2 has 302."""


@dataclass(frozen=True)
class Case:
    """One operator, its inputs in the order of the graph's, and what comes out."""

    name: str
    model: ModelProto
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]

    @property
    def node(self) -> NodeProto:
        return self.model.graph.node[0]

    @property
    def attributes(self) -> dict[str, Any]:
        return {entry.name: helper.get_attribute_value(entry) for entry in self.node.attribute}

    @property
    def feeds(self) -> dict[str, Array]:
        return dict(zip((value.name for value in self.model.graph.input), self.inputs, strict=True))


def is_ours(name: str, model: ModelProto) -> bool:
    """Whether a graph of ours could hold this: one operator, inference, and not written as others ("expanded")."""
    graph, node = model.graph, model.graph.node[0]
    trains = any(entry.name == "training_mode" and entry.i for entry in node.attribute)
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return node.op_type in OPERATORS and types <= TYPES and not trains and "_expanded" not in name


def shipped(folder: Path) -> Iterator[Case]:
    """The cases of a folder."""
    for path in folder.glob("*/model.onnx"):
        name, data = path.parent.name, path.parent / "test_data_set_0"
        model = ModelProto.FromString(path.read_bytes())
        if is_ours(name, model):
            inputs, outputs = (
                # By name, because no operator has ten.
                [TensorProto.FromString(file.read_bytes()) for file in sorted(data.glob(f"{kind}_*.pb"))]
                for kind in ("input", "output")
            )
            yield Case(name, model, arrays(inputs), arrays(outputs))


def generate() -> Iterator[Case]:
    """Those of the installed onnx, by the modules of our operators alone: the others take twice as long again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(generated.__path__):
            # reduce_max makes the cases of ReduceMax, batchnorm those of BatchNormalization.
            if any(operator.lower().startswith(module.name.replace("_", "")) for operator in OPERATORS):
                importlib.import_module(f"{generated.__name__}.{module.name}")
    for case in generated._NodeTestCases:
        if is_ours(case.name, case.model):
            inputs, outputs = case.data_sets[0]
            yield Case(case.name, case.model, arrays(inputs), arrays(outputs))


def arrays(tensors: Sequence[Any]) -> tuple[Array, ...]:
    """Files hold tensors, what is generated are arrays."""
    return tuple(
        np.asarray(numpy_helper.to_array(values) if isinstance(values, TensorProto) else values) for values in tensors
    )


CASES = sorted(shipped(Path(FOLDER)) if FOLDER else generate(), key=lambda case: case.name)


def of_operators(*operators: str) -> list[Case]:
    return [case for case in CASES if case.node.op_type in operators]


def by_name(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def as_trained(case: Case) -> ModelProto:
    """The graph in which what a network holds as weights are initializers instead of inputs."""
    model = ModelProto.FromString(case.model.SerializeToString())
    weights = [] if case.node.op_type in OF_EQUALS else [name for name in case.node.input[1:] if name]
    del model.graph.input[:]
    model.graph.input.extend(value for value in case.model.graph.input if value.name not in weights)
    model.graph.initializer.extend(numpy_helper.from_array(case.feeds[name], name) for name in weights)
    return model


def rewrite(model: ModelProto) -> dict[str, int]:
    """Every pass on the model, in place → how often each found its pattern; one that did not changed nothing."""
    counts = {}
    for name, apply in PASSES.items():
        before = model.SerializeToString(deterministic=True)
        counts[name] = apply(model)
        assert counts[name] or model.SerializeToString(deterministic=True) == before, name
    onnx.checker.check_model(model, full_check=True)
    return {name: count for name, count in counts.items() if count}


def run(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """Outputs of ONNX Runtime on the CPU; what is no input of the graph is not fed."""
    session = ort.InferenceSession(model.SerializeToString(), session_options(ort, threads=1), providers=[CPU])
    names = [value.name for value in session.get_inputs()]
    return [np.asarray(values) for values in session.run(None, {name: feeds[name] for name in names})]


def run_or_skip(case: Case) -> list[Array]:
    """The same of a case as given; skips what this ONNX Runtime lacks."""
    try:
        return run(case.model, case.feeds)
    except Exception as error:  # its exceptions have no common base but this
        lacks = LACKS.search(one_line(error))
        if lacks is None:
            raise
        pytest.skip(f"onnxruntime {ort.__version__}: {lacks.group()[:150]}")


def assert_expected(found: Sequence[Array], expected: Sequence[Array]) -> None:
    """As `onnx.backend.test.runner` compares; whole numbers and truth values have no tolerance."""
    assert [(values.dtype, values.shape) for values in found] == [(values.dtype, values.shape) for values in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if np.issubdtype(theirs.dtype, np.floating):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_there_are_cases_of_every_operator() -> None:
    assert {case.node.op_type for case in CASES} == OPERATORS
    assert len(CASES) >= FLOOR


def test_every_pass_is_here() -> None:
    assert {module.name for module in pkgutil.iter_modules(passes.__path__)} == {*PASSES, *ONLY_SEALED}


@by_name(CASES)
def test_as_given_and_rewritten(case: Case) -> None:
    given = run_or_skip(case)
    with pytest.raises(AssertionError) if case.name in DEVIATES else nullcontext():
        assert_expected(given, case.outputs)
    model = as_trained(case)
    assert rewrite(model).keys() <= {"split_transposed_conv"}
    assert_expected(run(model, case.feeds), given if case.name in DEVIATES else case.outputs)


def test_every_transposed_convolution_is_split_but_those_for_which_it_is_not_exact() -> None:
    rewritten = {}
    for case in of_operators("ConvTranspose"):
        assert split_transposed_conv(case.model) == 0, f"{case.name}: its weights are no constants"
        model = as_trained(case)
        rewritten[case.name] = split_transposed_conv(model)
        assert [node.op_type for node in model.graph.node].count("ConvTranspose") == 1 - rewritten[case.name]
    assert rewritten == {name: int(name not in LEFT_ALONE) for name in rewritten}
    assert len(rewritten) >= len(LEFT_ALONE) + 4


@by_name([case for case in of_operators("Conv", "ConvTranspose") if case.inputs[1].ndim == 4])
def test_batch_normalisation_behind_a_convolution(case: Case) -> None:
    """No case has two operators: the convolution is ONNX's, the normalisation ours. NCHW, as the pass expects."""
    run_or_skip(case)
    model = as_trained(case)
    rng, channels = np.random.default_rng(0), case.outputs[0].shape[1]
    constants = ("scale", "shift", "mean", "variance")
    convolved, normalised = case.node.output[0], f"{case.node.output[0]}.normalised"
    model.graph.node.append(helper.make_node("BatchNormalization", [convolved, *constants], [normalised]))
    for name in constants:
        values = rng.uniform(0.5, 2, (channels,)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    model.graph.output[0].name = normalised
    expected = run(model, case.feeds)
    assert rewrite(model)["fold_batch_norm"] == 1
    assert "BatchNormalization" not in [node.op_type for node in model.graph.node]
    np.testing.assert_allclose(run(model, case.feeds)[0], expected[0], rtol=1e-5, atol=1e-4)


@by_name([case for case in of_operators("DepthToSpace") if case.attributes.get("mode") == b"CRD"])
def test_ids_decided_before_the_shuffle(case: Case) -> None:
    """In the opset of our exports, because the newest DepthToSpace differs from it in types alone."""
    phases, shuffled = case.inputs[0], case.outputs[0]
    nodes = [
        helper.make_node("Identity", ["x"], ["phases"]),
        helper.make_node("DepthToSpace", ["phases"], [LOGITS], **case.attributes),
        helper.make_node("ArgMax", [LOGITS], ["decided"], axis=1, keepdims=1),
        helper.make_node("Cast", ["decided"], [LABELS], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        case.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, phases.shape)],
        [helper.make_tensor_value_info(LABELS, TensorProto.FLOAT, [1, 1, *shuffled.shape[2:]])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    before = ModelProto.FromString(model.SerializeToString())
    assert decide_before_shuffle(model) == 1
    onnx.checker.check_model(model, full_check=True)
    rng = np.random.default_rng(0)
    # The case itself, its classes in another order, and whole numbers from 0 to 2: most pixels have ties.
    for scores in (phases, rng.permuted(phases, axis=1), rng.integers(0, 3, phases.shape).astype(np.float32)):
        (expected,), (found,) = (run(each, {"x": scores}) for each in (before, model))
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(run(model, {"x": phases})[0], shuffled.argmax(axis=1)[:, np.newaxis])
