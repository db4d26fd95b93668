"""`augment.small`: what a recipe does with images smaller than a crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import random_frame, save_frame, save_grey

from edgeseg.data.augment import AugmentConfig
from edgeseg.errors import ConfigError
from edgeseg.training.datasets import open_parts
from edgeseg.training.recipe import DataConfig


def test_parts_leave_small_images_out_where_they_are_told_to(tmp_path: Path) -> None:
    for name, size_hw in (("small", (40, 31)), ("large", (40, 32))):
        save_frame(tmp_path / f"own/images/{name}.png", random_frame(0, size_hw))
        save_grey(tmp_path / f"own/masks/{name}.png", np.zeros(size_hw, np.uint8))
    (tmp_path / "own/labels.toml").write_text('names = ["a", "b"]')
    entries = (DataConfig("folder", "own", "all"),)
    assert open_parts(entries, tmp_path)[0].taken == 2
    (part,) = open_parts(entries, tmp_path, (40, 32))
    assert [part.dataset[index].name for index in range(part.taken)] == ["large"]


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match='small=\'drop\' is unknown; choose "pad" or "skip"'):
        AugmentConfig(crop_hw=(32, 32), small="drop")
