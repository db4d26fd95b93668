"""Transposed convolutions written in three ways, of which the device tells the fastest: one function."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_graph import tiny_model

from edgeseg.errors import ConfigError
from edgeseg.graph.export import export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.recipe import TRANSPOSED_FORMS, ExportConfig
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame, Labels

OPERATORS = {"decided-first": (0, 1), "sub-pixel": (0, 0), "transposed": (1, 0)}
"""Form → has ConvTranspose; decides before the pixels are laid out."""


def frame() -> Frame:
    height, width = tiny_model().size_hw
    coarse = np.random.default_rng(2).integers(0, 256, (1, -(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width])


def labels(model: bytes) -> Labels:
    with OrtSession(model) as session:
        return session.run(frame())


def test_every_form_is_named_and_the_first_is_what_is_written_unasked() -> None:
    assert tuple(OPERATORS) == TRANSPOSED_FORMS
    assert ExportConfig().transposed == TRANSPOSED_FORMS[0]
    with pytest.raises(ConfigError, match="transposed"):
        ExportConfig(transposed="bilinear")


@pytest.mark.parametrize("form", TRANSPOSED_FORMS[1:])
def test_labels_are_the_same_in_fp32_and_fp16(form: str) -> None:
    first = export_graph(tiny_model(), ExportConfig()).model
    other = export_graph(tiny_model(), ExportConfig(transposed=form)).model
    expected = labels(first.SerializeToString())
    assert len(np.unique(expected)) > 1
    assert np.array_equal(labels(other.SerializeToString()), expected)
    half = labels(convert_to_fp16(other).model.SerializeToString())
    assert np.mean(half == expected) > 0.99


@pytest.mark.parametrize("form", TRANSPOSED_FORMS)
def test_the_manifest_and_the_graph_tell_the_form(form: str) -> None:
    exported = export_graph(tiny_model(), ExportConfig(transposed=form))
    kinds = {node.op_type for node in exported.model.graph.node}
    transposed, decided = OPERATORS[form]
    assert ("ConvTranspose" in kinds) == bool(transposed)
    assert bool(exported.rewrites.get("decide_before_shuffle")) == bool(decided)
