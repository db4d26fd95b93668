"""A run of a second: the tiny network on a few small pictures. What tests of training start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_network
from tiny_datasets import folder

from edgeseg.data.augment import AugmentConfig
from edgeseg.training.recipe import DataConfig, ModelConfig, OptimiserConfig, Recipe, ScheduleConfig

with pytest.MonkeyPatch.context() as _patch:
    # A recipe asks for a network that is known; tests that build it enter it themselves.
    tiny_network.register(_patch)
    RECIPE = Recipe(
        name="short",
        data=(DataConfig("folder", "pets", "all"),),
        augment=AugmentConfig(crop_hw=(32, 48)),
        size_hw=(64, 96),
        seed=4,
        model=ModelConfig(network=tiny_network.NAME),
        optimiser=OptimiserConfig(learning_rate=0.02, backbone_factor=1.0),
        schedule=ScheduleConfig(epochs=2, batch_size=2, warmup_iterations=2, workers=0),
    )


def recipe_file(*, epochs: int, batch_size: int, workers: int) -> str:
    """The same data and network as a recipe's TOML."""
    return f"""
name = "short"
size_hw = [64, 96]
model.network = "tiny"
augment.crop_hw = [32, 48]
schedule = {{epochs = {epochs}, batch_size = {batch_size}, workers = {workers}}}
data = [{{format = "folder", root = "pets", split = "all"}}]
"""


def pets(tmp_path_factory: pytest.TempPathFactory, names: str = "abcdef") -> Path:
    """A data folder with the pictures that `RECIPE` trains on; their classes are the tiny network's."""
    root = tmp_path_factory.mktemp("data")
    folder(root / "pets", names)
    return root
