"""A checkpoint's scores: probabilities that belong to the labels of the sealed graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_datasets import save_frame, save_grey  # noqa: E402
from tiny_network import register, trained  # noqa: E402

from edgeseg.cli.main import main  # noqa: E402
from edgeseg.labels import LabelMap, distinct_palette  # noqa: E402
from edgeseg.metrics.scored import ScoredModel  # noqa: E402
from edgeseg.models.checkpoint import save_checkpoint  # noqa: E402
from edgeseg.runtime import load_segmenter  # noqa: E402


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    register(monkeypatch)
    names = LabelMap(("road", "cat", "dog"), distinct_palette(3))
    save_checkpoint(tmp_path / "tiny.safetensors", replace(trained(), label_map=names))
    return tmp_path / "tiny.safetensors"


@pytest.mark.parametrize("size_hw", [(32, 48), (50, 70)])
def test_labels_are_the_segmenters_and_scores_are_probabilities(checkpoint: Path, size_hw: tuple[int, int]) -> None:
    model = ScoredModel(checkpoint)
    frame = np.random.default_rng(1).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    frame.flags.writeable = False
    labels, scores = model(frame)
    with load_segmenter(checkpoint) as segmenter:
        assert np.array_equal(labels, segmenter(frame).labels)
    assert scores.shape == (3, *size_hw)
    assert scores.dtype == np.dtype(np.float32)
    assert np.abs(scores.sum(axis=0) - 1).max() < 1e-5
    if size_hw == (32, 48):  # the network's own size: nothing is resized
        assert np.array_equal(scores.argmax(axis=0), labels)
    else:
        assert (scores.argmax(axis=0) == labels).mean() > 0.8


def test_evaluate_takes_confidences_from_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """And the labels, with every figure of theirs, stay what they are without."""
    rng = np.random.default_rng(3)
    for index in range(2):
        save_frame(tmp_path / "data/images" / f"{index}.png", rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))
        save_grey(tmp_path / "data/masks" / f"{index}.png", rng.integers(0, 3, (32, 48), dtype=np.uint8))
    (tmp_path / "data/labels.toml").write_text('names = ["road", "cat", "dog"]\n')
    arguments = ["evaluate", str(checkpoint), "--data", str(tmp_path / "data"), "--split", "all", "--json"]
    assert main([*arguments, str(tmp_path / "plain.json")]) == 0
    assert main([*arguments, str(tmp_path / "road.json"), "--metrics", "kitti-road"]) == 0
    plain, road = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "road"))
    found = road.pop("metrics")["kitti-road"]
    assert {**road, "metrics": {}} == plain
    assert 0 < found["average_precision"] < 1
    assert found["labels"]["f1"] == pytest.approx(plain["f1"]["road"])
    assert found["max_f"] >= found["labels"]["f1"] - 0.02
