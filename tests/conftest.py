"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgeseg.graph.export import ExportedGraph
    from edgeseg.models.checkpoint import TrainedModel

# One thread per process: pytest-xdist already uses every core, and results do not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real road scenes beside the repository, or `EDGESEG_DATA`; the test is skipped where it is not."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("EDGESEG_DATA", default))
    if not (folder / "camvid" / "test.txt").is_file():
        pytest.skip(f"no real road scenes in {folder} (set EDGESEG_DATA to their folder)")
    return folder


@pytest.fixture
def trained() -> TrainedModel:
    """A tiny trained network; torch is imported only by the tests that ask for it."""
    from tiny_graph import tiny_model

    return tiny_model()


@pytest.fixture(scope="session")
def exported() -> ExportedGraph:
    """Its graph, for frames at the network's size. Shared: copy the model before changing it."""
    from tiny_graph import tiny_model

    from edgeseg.graph.export import export_graph
    from edgeseg.graph.recipe import ExportConfig

    return export_graph(tiny_model(), ExportConfig())
