"""The recipes for devices: each makes a bundle and, of that very bundle, an engine for its device."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.bundle import Contract
from edgeseg.engine.capabilities import for_version
from edgeseg.engine.devices import find_device
from edgeseg.engine.plan import plan
from edgeseg.engine.recipe import read_recipe
from edgeseg.graph.recipe import merge
from edgeseg.graph.recipe import read_recipe as read_export
from edgeseg.settings import read_toml

EXPORT = Path(__file__).resolve().parents[2] / "export"
TARGETS = {
    "orin_nano": ("orin-nano", ("10.3", "10.16")),
    "orin_nx": ("orin-nx", ("10.3", "10.16")),
    "agx_orin": ("orin", ("10.3", "10.16", "11.4.1")),
    "thor": ("thor", ("10.13", "10.16", "11.4.1")),
    "desktop_rtx": ("rtx40", ("10.3", "10.16", "11.4")),
}
"""Recipe → device, and releases of TensorRT that it may have."""


@pytest.mark.parametrize(
    ("name", "device", "release"),
    [(name, device, release) for name, (device, releases) in TARGETS.items() for release in releases],
)
def test_an_engine_is_planned_from_what_the_recipe_exports(name: str, device: str, release: str) -> None:
    path = EXPORT / f"{name}.toml"
    export, recipe = merge(read_export(path), {}), read_recipe(path)
    assert {"fp32": True, "fp16": export.fp16, "int8-trt": export.int8}[recipe.graph]
    network_hw = export.size_hw or (360, 480)
    contract = Contract.of(None if export.dynamic else export.camera_hw or network_hw, network_hw, (0, 0, 0), (1, 1, 1))
    made = plan(recipe, for_version(release), find_device(device), contract, opset=20)
    assert made.strongly_typed
    assert [text for text in made.warnings if "opset" in text] == []


def test_every_recipe_with_an_engine_is_planned_here() -> None:
    assert {path.stem for path in EXPORT.glob("*.toml") if "engine" in read_toml(path, "recipe")} == set(TARGETS)
