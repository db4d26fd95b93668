"""Where Q/DQ pairs go: what each back end can run on integers, and what never becomes int8."""

from __future__ import annotations

import pytest
from onnx import helper
from tiny_int8 import conv, residual, sealed, upsampled, weights

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import IMAGE, LOGITS
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.quantize.placement import CPU, TRT, may_be_int8, place


def test_cpu_quantises_every_tensor_between_the_stem_and_the_head() -> None:
    placement = place(residual(), CPU)
    assert placement.activations == ("stem_relu", "first_relu", "second_out", "sum_relu", "third_relu")
    assert placement.weights == {"first.weight": 0, "second.weight": 0, "third.weight": 0}
    assert set(placement.kept) == {"stem", "stem_act", "classifier"}
    assert not placement.direct


def test_trt_quantises_what_convolutions_read_and_the_skip_alone() -> None:
    placement = place(residual(), TRT)
    assert placement.activations == (IMAGE, "stem_relu", "first_relu", "sum_relu")
    assert set(placement.weights) == {"stem.weight", "first.weight", "second.weight", "third.weight"}
    # `second` takes the sum in, so its result stays in float; the skip reads the pair that `first` reads.
    assert "second_out" not in placement.activations
    assert not placement.direct


def test_of_two_convolutions_in_a_sum_the_later_one_takes_it_in() -> None:
    nodes = [
        conv("stem", IMAGE, "features"),
        conv("body", "features", "body_out"),
        conv("projection", "features", "projection_out", kernel=1),
        helper.make_node("Add", ["body_out", "projection_out"], ["sum"], name="add"),
        conv("classifier", "sum", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (4, 3, 3, 3)),
        *weights("body", (4, 4, 3, 3)),
        *weights("projection", (4, 4, 1, 1)),
        *weights("classifier", (3, 4, 1, 1)),
    ]
    assert place(sealed(nodes, constants), TRT).activations == (IMAGE, "features", "body_out")


def test_a_tensor_that_a_sum_takes_in_and_a_convolution_reads_has_both() -> None:
    nodes = [
        conv("stem", IMAGE, "one"),
        conv("body", "one", "two"),
        helper.make_node("ReduceMean", ["one"], ["mean_of_one"], name="mean", keepdims=1),
        helper.make_node("Add", ["two", "mean_of_one"], ["sum"], name="add"),
        conv("classifier", "sum", LOGITS, kernel=1),
    ]
    constants = [*weights("stem", (4, 3, 3, 3)), *weights("body", (4, 4, 3, 3)), *weights("classifier", (3, 4, 1, 1))]
    placement = place(sealed(nodes, constants), TRT)
    assert ("mean", "one") in placement.direct
    assert "ReduceMean" in placement.kept["mean"]


@pytest.mark.parametrize("dialect", [CPU, TRT])
def test_a_kept_convolution_takes_its_activation_with_it(dialect: str) -> None:
    placement = place(residual(), dialect, keep=["first"])
    assert "first.weight" not in placement.weights
    assert "for accuracy" in placement.kept["first"]
    assert placement.kept["first_act"] == "follows first, which stays in float"
    assert "first_relu" in placement.activations  # `second` reads it
    assert "first_out" not in placement.activations


def test_scores_stay_in_float_through_every_upsampling(exported: ExportedGraph) -> None:
    for dialect in (CPU, TRT):
        placement = place(exported.model, dialect)
        producer = {node.output[0]: node for node in exported.model.graph.node}
        node = producer[LOGITS]
        while node.op_type not in ("Conv", "ConvTranspose"):
            assert "class scores" in placement.kept[node.name]
            node = producer[node.input[0]]
        # the upsampling, and the classifier that gives it class scores
        assert "class scores" in placement.kept[node.name]
        assert "class scores" in placement.kept[producer[node.input[0]].name]
        assert node.input[0] not in placement.activations


def test_transposed_convolutions_stay_in_float_and_split_ones_do_not() -> None:
    model = upsampled()
    assert "transposed" in place(model, TRT).kept["up"]
    assert split_transposed_conv(model) == 1
    shared = place(model, CPU).shared
    assert shared["large"] in place(model, CPU).activations, "DepthToSpace carries bytes at the convolution's scale"
    assert len(place(model, CPU).weights) == 2


def test_the_stem_is_int8_on_cpu_only_before_a_pool() -> None:
    nodes = [
        conv("stem", IMAGE, "stem_out"),
        helper.make_node("Relu", ["stem_out"], ["stem_relu"], name="stem_act"),
        helper.make_node("MaxPool", ["stem_relu"], ["pooled"], name="pool", kernel_shape=[3, 3], pads=[1] * 4),
        conv("body", "pooled", "body_out"),
        conv("classifier", "body_out", LOGITS, kernel=1),
    ]
    constants = [*weights("stem", (4, 3, 3, 3)), *weights("body", (4, 4, 3, 3)), *weights("classifier", (3, 4, 1, 1))]
    placement = place(sealed(nodes, constants), CPU)
    assert placement.activations == (IMAGE, "stem_relu", "pooled", "body_out")
    assert placement.shared == {"pooled": "stem_relu"}


def test_what_may_be_int8_at_all() -> None:
    assert may_be_int8(residual(), keep=["third"]) == [
        IMAGE,
        *("stem_out", "stem_relu", "first_out", "first_relu", "second_out", "sum", "sum_relu", "third_relu"),
    ]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dialect 'dla'"):
        place(residual(), "dla")
    with pytest.raises(ConfigError, match=r"cannot keep nowhere in float"):
        place(residual(), CPU, keep=["nowhere", "first"])
