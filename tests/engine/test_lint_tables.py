"""Operators by release: what the lists say, and that what they do not say stays open."""

from __future__ import annotations

import pytest
from onnx import defs

from edgeseg.engine.lint.tables import DLA_OPERATORS, Support, support, supported_since


@pytest.mark.parametrize(
    ("operator", "release", "expected"),
    [
        ("Conv", (8, 6), Support.YES),
        ("Resize", (11, 4), Support.YES),
        # Of the changelog: there from that release on, and known not to be there before.
        ("LayerNormalization", (8, 5), Support.NO),
        ("LayerNormalization", (8, 6), Support.YES),
        ("DeformConv", (10, 0), Support.NO),
        ("DeformConv", (10, 1), Support.YES),
        ("Attention", (10, 13), Support.NO),
        ("Attention", (10, 14), Support.YES),
        ("Swish", (10, 16), Support.NO),
        ("Swish", (11, 0), Support.YES),
        # Seen in a later list, and nobody looked in between.
        ("Gelu", (9, 2), Support.NO),
        ("Gelu", (10, 3), Support.NOT_LISTED),
        ("Gelu", (10, 6), Support.YES),
        # In no list: so up to the newest that was read, and unknown after it.
        ("ConvInteger", (10, 15), Support.NO),
        ("ConvInteger", (10, 16), Support.NO_LONGER_KNOWN),
        ("ConvInteger", (11, 4), Support.NO_LONGER_KNOWN),
        ("Cubic", (10, 15), Support.NOT_LISTED),
    ],
)
def test_what_is_known(operator: str, release: tuple[int, int], expected: Support) -> None:
    assert support(operator, release) is expected


def test_a_release_that_has_an_operator_is_followed_by_releases_that_have_it() -> None:
    releases = [(8, 6), *((10, minor) for minor in range(17)), *((11, minor) for minor in range(5))]
    for operator in {schema.name for schema in defs.get_all_schemas()}:
        known = [support(operator, release) is Support.YES for release in releases]
        assert known == sorted(known), operator
        assert (supported_since(operator) is not None) == any(known), operator


def test_what_a_dla_takes_tensorrt_takes() -> None:
    assert all(support(operator, (8, 6)) is Support.YES for operator in DLA_OPERATORS)
