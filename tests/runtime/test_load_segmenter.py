from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import LABELS, brightest_channel, darkest_channel, noise, tiny_bundle

from edgeseg.errors import BundleError, ConfigError, InputError
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint, save_checkpoint
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.runtime import load_segmenter
from edgeseg.types import graph_precision


def test_a_folder_is_a_bundle_in_onnxruntime(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "a.edgeseg", operators={"fp32": "ArgMax", "fp16": "ArgMin"}).path
    frame = noise(np.random.default_rng(8))
    with load_segmenter(path, threads=1) as segmenter:
        assert (segmenter.backend, segmenter.precision) == ("onnxruntime", "fp32")
        np.testing.assert_array_equal(segmenter(frame).labels, brightest_channel(frame))
    with load_segmenter(path, precision="fp16") as segmenter:
        assert segmenter.precision == "fp16"
        np.testing.assert_array_equal(segmenter(frame).labels, frame.argmin(axis=2))
    with load_segmenter(path, backend="fake") as segmenter:
        assert segmenter.backend == "fake"


def test_int8_is_the_graph_for_the_runtime_at_hand(tmp_path: Path) -> None:
    operators = {"fp32": "ArgMax", "int8-cpu": "ArgMin", "int8-trt": "ArgMax"}
    path = tiny_bundle(tmp_path / "a.edgeseg", operators=operators).path
    frame = noise(np.random.default_rng(1))
    with load_segmenter(path, precision="int8") as segmenter:
        assert segmenter.precision == "int8-cpu"
        assert np.array_equal(segmenter(frame).labels, darkest_channel(frame))
    with load_segmenter(path, precision="int8-trt") as segmenter:
        assert segmenter.precision == "int8-trt"
    assert [graph_precision("int8", name) for name in ("onnxruntime", "tensorrt")] == ["int8-cpu", "int8-trt"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    spec = ModelSpec("fcn8s_mobilenet_v2", num_classes=3, auxiliary=False)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_checkpoint(path, TrainedModel(build_model(spec).eval(), spec, LABELS, (64, 96)))
    return path


def test_a_file_is_a_checkpoint_in_torch(checkpoint: Path) -> None:
    frame = noise(np.random.default_rng(8), (50, 70))
    trained = load_checkpoint(checkpoint)
    sealed = SealedNetwork(trained.network, Preprocess((64, 96), trained.mean, trained.std))
    with torch.inference_mode():
        expected = sealed(torch.from_numpy(frame)[None])[0].numpy()
    with load_segmenter(checkpoint) as segmenter:
        assert (segmenter.backend, segmenter.label_map) == ("torch", LABELS)
        labels = segmenter(frame).labels
    assert labels.shape == (50, 70)
    np.testing.assert_array_equal(labels, expected)


def test_no_target_is_the_default_model(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.models.checkpoint.default_checkpoint", lambda: checkpoint)
    with load_segmenter(None) as segmenter:
        assert (segmenter.backend, segmenter.label_map) == ("torch", LABELS)


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist; expected a bundle"):
        load_segmenter(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        load_segmenter(tmp_path)
    with pytest.raises(ConfigError, match="holds ONNX graphs"):
        load_segmenter(tiny_bundle(tmp_path / "a.edgeseg").path, backend="torch")
    (tmp_path / "model.safetensors").touch()
    for target, name in ((tmp_path / "model.safetensors", "model.safetensors"), (None, "the default model")):
        with pytest.raises(ConfigError, match=f"{name} is a checkpoint, which runs in torch alone; for onnxruntime"):
            load_segmenter(target, backend="onnxruntime")
        with pytest.raises(ConfigError, match=f"{name} is a checkpoint, which runs in fp32; for fp16, export it"):
            load_segmenter(target, precision="fp16")
