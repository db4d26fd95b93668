"""The CPU dialect's rewrites compute the same values, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper, numpy_helper
from tiny_int8 import SIZE_HW, conv, noise, sealed, weights

from edgeseg.graph.contract import FRAME, IMAGE, LOGITS
from edgeseg.quantize.dialects.layout import BY_PHASE, channels_last


def _shuffled(mode: str, *, groups: int = 1, crop: bool = False) -> ModelProto:
    """Stride 2 down, 2 up by DepthToSpace, a blend, and the scores."""
    up = conv("up", "features", "phases")
    up.attribute.append(helper.make_attribute("group", groups))
    nodes = [
        conv("stem", IMAGE, "features", stride=2),
        up,
        helper.make_node("DepthToSpace", ["phases"], ["large"], name="shuffle", blocksize=2, mode=mode),
        conv("classifier", "large", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (8, 3, 3, 3)),
        *weights("up", (16, 8 // groups, 3, 3)),
        *weights("classifier", (3, 4, 1, 1)),
    ]
    return sealed(nodes, constants)


def _tensors(model: ModelProto, names: list[str]) -> Any:
    copy = ModelProto.FromString(model.SerializeToString())
    copy.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, {FRAME: noise(SIZE_HW)[0][np.newaxis]})


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
def test_depth_to_space_as_moves_of_blocks(mode: str) -> None:
    model = _shuffled(mode)
    changed = channels_last(model)
    assert "DepthToSpace" not in [node.op_type for node in changed.graph.node]
    for before, after in zip(*(_tensors(each, [IMAGE, "large"]) for each in (model, changed)), strict=True):
        np.testing.assert_allclose(before, after, rtol=0, atol=2e-6)
    assert np.abs(_tensors(changed, ["large"])[0]).max() > 1


def test_only_the_reordered_tensor_gets_another_name() -> None:
    model = _shuffled("CRD")
    before = {node.output[0] for node in model.graph.node}
    after = {node.output[0] for node in channels_last(model).graph.node}
    assert before - after == {"phases"}
    assert f"phases{BY_PHASE}" in after


def test_channels_of_groups_are_not_reordered() -> None:
    kinds = [node.op_type for node in channels_last(_shuffled("CRD", groups=2)).graph.node]
    assert "DepthToSpace" in kinds


def test_mean_and_deviation_are_written_for_every_column() -> None:
    changed = channels_last(_shuffled("CRD"))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in changed.graph.initializer}
    assert constants["mean"].shape == constants["std"].shape == (1, 3, 1, SIZE_HW[1])
    assert np.unique(constants["mean"]).tolist() == [120.0]
