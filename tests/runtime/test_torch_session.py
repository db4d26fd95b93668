from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import LABELS, noise, tiny_bundle
from torch import nn

from edgeseg.errors import ConfigError, InputError
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.session import open_session
from edgeseg.runtime.torch_session import TorchSession


class RgbAsLogits(nn.Module):
    """Class 0 where red is brightest, 1 green, 2 blue."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": image}


def sealed(size_hw: tuple[int, int] = (24, 32), camera_hw: tuple[int, int] | None = None) -> SealedNetwork:
    return SealedNetwork(RgbAsLogits(), Preprocess(size_hw, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), camera_hw)


def test_labels_are_those_of_the_network() -> None:
    frame = noise(np.random.default_rng(5))
    with TorchSession(sealed()) as session:
        labels = session.run(frame[np.newaxis])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[0], frame[..., ::-1].argmax(axis=2))


def test_any_camera_size_unless_sealed_for_one() -> None:
    with TorchSession(sealed()) as session:
        assert session.inputs.shape == (1, None, None, 3)
        assert session.run(np.zeros((1, 50, 70, 3), np.uint8)).shape == (1, 50, 70)
    with TorchSession(sealed(camera_hw=(48, 64))) as session:
        assert session.inputs.shape == (1, 48, 64, 3)
        with pytest.raises(InputError, match=r"expected frame: uint8 \(1, 48, 64, 3\)"):
            session.run(np.zeros((1, 50, 70, 3), np.uint8))


def test_read_only_and_mirrored_frames_are_taken() -> None:
    frame = noise(np.random.default_rng(5))
    frame.flags.writeable = False
    with Segmenter.from_session(TorchSession(sealed()), LABELS) as segmenter:
        assert (segmenter.backend, segmenter.precision) == ("torch", "fp32")
        np.testing.assert_array_equal(segmenter(frame).labels, frame[..., ::-1].argmax(axis=2))
        np.testing.assert_array_equal(segmenter(frame[:, ::-1]).labels, frame[:, ::-1, ::-1].argmax(axis=2))


def test_threads_are_those_of_the_process() -> None:
    before = torch.get_num_threads()
    try:
        TorchSession(sealed(), threads=1)
        assert torch.get_num_threads() == 1
        TorchSession(sealed(), threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="threads=0"):
        TorchSession(sealed(), threads=0)


def test_a_closed_session_refuses_frames() -> None:
    session = TorchSession(sealed())
    session.close()
    with pytest.raises(InputError, match="was closed"):
        session.run(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_bundle_is_not_for_torch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds ONNX graphs, which torch does not run"):
        open_session("torch", tiny_bundle(tmp_path / "a.edgeseg"))
