"""The table from stored ids to classes: every value in its place, and tables that make no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import save_grey

from edgeseg.data.values import ValueTable
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette

THREE = LabelMap(("a", "b", "c"), distinct_palette(3), 9)


def test_every_value_takes_its_class_or_void(tmp_path: Path) -> None:
    to = {0: 2, 7: 0, 100: 1, 254: 9, 255: 0}
    stored = np.random.default_rng(0).choice(np.array(list(to), np.uint8), (20, 30))
    save_grey(tmp_path / "mask.png", stored)
    expected = [[to[int(value)] for value in row] for row in stored]
    labels = ValueTable(THREE, to).read(tmp_path / "mask.png")
    assert labels.dtype == np.uint8
    assert labels.tolist() == expected


def test_16_bit_masks_of_small_values(tmp_path: Path) -> None:
    save_grey(tmp_path / "mask.png", np.array([[0, 1], [1, 0]], np.uint16))
    assert ValueTable(THREE, {0: 2, 1: 9}).read(tmp_path / "mask.png").tolist() == [[2, 9], [9, 2]]


@pytest.mark.parametrize("value", [3, 200])
def test_a_value_that_is_not_in_the_table(tmp_path: Path, value: int) -> None:
    save_grey(tmp_path / "mask.png", np.array([[0, 1], [value, value]], np.uint8))
    with pytest.raises(DataError, match=rf"mask\.png: id {value} at x=0, y=1 \(2 pixels like it\).*table of 2 ids"):
        ValueTable(THREE, {0: 0, 1: 1}).read(tmp_path / "mask.png")


def test_tables_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="mask value 256 does not fit 8 bits"):
        ValueTable(THREE, {256: 0})
    with pytest.raises(ConfigError, match="mask value 1 becomes 3, which is neither a class nor void"):
        ValueTable(THREE, {1: 3})
