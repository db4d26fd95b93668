"""The second output through every runtime, bundle and command: beside its labels, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from fake_driver import RTX_4070
from fake_tensorrt import Tensor
from tiny_bundle import LABELS, brightest_channel, noise, read_manifest, tiny_bundle, tiny_graph, write_sealed
from tiny_confidence import brightness, sure_bundle, sure_graph
from tiny_engine import CAMERA_HW, Machine

from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.errors import BundleError, ConfigError, GateError, InputError
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.ort import OrtSession
from edgeseg.runtime.ort_gpu import BoundSession, Target
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.session import Session, open_session
from edgeseg.runtime.torch_session import TorchSession
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import INVALID, TensorSpec

HERE = Target((("CPUExecutionProvider", {}),), device="cpu")


def assert_both(session: Session, sizes_hw: list[tuple[int, int]]) -> None:
    """Each frame gets its own labels and confidence, and keeps them; `run` gives the labels alone."""
    rng = np.random.default_rng(1)
    frames = [noise(rng, size_hw) for size_hw in sizes_hw]
    found = [session.run_all(frame[np.newaxis]) for frame in frames]
    for frame, output in zip(frames, found, strict=True):
        assert output.confidence is not None
        np.testing.assert_array_equal(output.labels[0], brightest_channel(frame))
        np.testing.assert_array_equal(output.confidence[0], brightness(frame))
    np.testing.assert_array_equal(session.run(frames[-1][np.newaxis]), found[-1].labels)


class TestOnnxRuntime:
    @pytest.mark.parametrize("camera_hw", [(24, 32), None])
    def test_on_the_cpu(self, camera_hw: tuple[int, int] | None) -> None:
        with OrtSession(sure_graph(camera_hw)) as session:
            assert session.outputs == TensorSpec("labels", "uint8", (1, *(camera_hw or (None, None))))
            assert session.confidence == TensorSpec("confidence", "uint8", (1, *(camera_hw or (None, None))))
            assert_both(session, [(24, 32)] * 3 if camera_hw else [(24, 32), (5, 7), (24, 32)])

    @pytest.mark.parametrize("camera_hw", [(24, 32), None])
    def test_bound_to_memory(self, camera_hw: tuple[int, int] | None) -> None:
        graph = sure_graph(camera_hw)
        with BoundSession(graph, HERE, size_hw=(24, 32), fixed=camera_hw is not None) as session:
            assert session.confidence == TensorSpec("confidence", "uint8", (1, *(camera_hw or (None, None))))
            assert_both(session, [(24, 32)] * 3 if camera_hw else [(24, 32), (5, 7), (24, 32)])

    def test_a_graph_without_it_gives_none(self) -> None:
        with OrtSession(tiny_graph()) as session:
            assert session.confidence is None
            assert session.run_all(np.zeros((1, 4, 6, 3), np.uint8)).confidence is None

    def test_another_second_output_is_no_sealed_graph(self) -> None:
        with pytest.raises(InputError, match=r"and maybe confidence of the same shape, found .*depth: uint8"):
            OrtSession(sure_graph(name="depth"))

    def test_a_confidence_of_another_size_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [np.zeros((1, 24, 32), np.uint8), np.zeros((1, 12, 16), np.uint8)]
        with OrtSession(sure_graph()) as session:
            monkeypatch.setattr(onnxruntime.InferenceSession, "run", lambda *_: answers)
            with pytest.raises(InputError, match=r"gave uint8 \(1, 12, 16\) for a frame \(1, 24, 32, 3\)"):
                session.run_all(np.zeros((1, 24, 32, 3), np.uint8))


class TestTensorRT:
    @pytest.mark.parametrize("camera_hw", [CAMERA_HW, None])
    @pytest.mark.parametrize("transfer", ["copied", "mapped"])
    @pytest.mark.parametrize("cuda_graph", [True, False])
    def test_both_in_one_launch_and_all_freed(
        self, camera_hw: tuple[int, int] | None, transfer: str, cuda_graph: bool
    ) -> None:
        machine = Machine(camera_hw=camera_hw, confidence=True, gpu=RTX_4070)
        with machine.open(transfer=transfer, cuda_graph=cuda_graph) as session:
            assert session.outputs.name == "labels"
            assert session.confidence == TensorSpec("confidence", "uint8", (1, *(camera_hw or (None, None))))
            before = machine.cuda.allocations
            assert_both(session, [(24, 32)] * 4 if camera_hw else [(24, 32), (24, 32), (24, 32), (8, 8), (48, 64)])
            assert machine.cuda.allocations == before
            assert session.graph_refused is None or not cuda_graph
        assert machine.cuda.live == {}

    def test_another_second_output_is_no_sealed_engine(self) -> None:
        machine = Machine()
        machine.tensorrt.tensors = (*machine.tensorrt.tensors, Tensor("depth", "UINT8", (1, *CAMERA_HW), False))
        with pytest.raises(InputError, match=r"not a sealed engine: .*depth"):
            machine.open()


class _Logits(torch.nn.Module):
    """Three classes whose logits are all 0, but for one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = torch.zeros(1, 3, *images.shape[-2:])
        logits[0, 1, 2, 3] = self.value
        return {"out": logits}


@pytest.mark.parametrize(("value", "expected"), [(0.0, 85), (4.0, 246), (-9.0, 127), (np.nan, 0), (np.inf, 0)])
def test_pytorch(value: float, expected: int) -> None:
    sealed = SealedNetwork(_Logits(value), Preprocess((8, 8), (0, 0, 0), (1, 1, 1)))
    with Segmenter.from_session(TorchSession(sealed), LABELS) as segmenter:
        assert segmenter.gives_confidence
        found = segmenter(np.zeros((16, 16, 3), np.uint8))
    assert found.confidence is not None
    assert found.confidence[4:6, 6:8].tolist() == [[expected, expected]] * 2
    assert (np.delete(found.confidence, (4, 5), axis=0) == (85 if np.isfinite(value) else 0)).all()
    assert found.valid == np.isfinite(value)
    assert (found.labels == INVALID).all() != found.valid


class TestSegmenter:
    def test_it_is_resized_as_the_labels_are(self) -> None:
        """Labels and confidence of the small picture, each pixel from the same place."""
        small = noise(np.random.default_rng(2), (24, 32))
        ids, sure = (np.arange(24 * 32) % 251).reshape(24, 32).astype(np.uint8), brightness(small)
        session = FakeSession(ids, confidence=sure, camera_hw=(24, 32))
        with Segmenter.from_session(session, LABELS) as segmenter:
            found = segmenter(np.zeros((61, 95, 3), np.uint8))
        assert found.confidence is not None
        assert found.confidence.dtype == np.uint8
        assert found.confidence.shape == found.labels.shape == (61, 95)
        sure_of = {(int(label), int(level)) for label, level in zip(ids.ravel(), sure.ravel(), strict=True)}
        pairs = zip(found.labels.ravel().tolist(), found.confidence.ravel().tolist(), strict=True)
        assert set(pairs) <= sure_of

    def test_where_there_is_none_it_says_so(self, tmp_path: Path) -> None:
        with Segmenter(tiny_bundle(tmp_path / "a.edgeseg")) as segmenter:
            assert not segmenter.gives_confidence
            assert segmenter(noise(np.random.default_rng(0))).confidence is None
            with pytest.raises(ConfigError, match="Export it with --confidence"):
                segmenter.require_confidence()

    @pytest.mark.parametrize("backend", ["onnxruntime", "fake"])
    def test_from_a_bundle(self, tmp_path: Path, backend: str) -> None:
        with Segmenter(sure_bundle(tmp_path / "a.edgeseg"), backend=backend) as segmenter:
            segmenter.require_confidence()
            found = segmenter(noise(np.random.default_rng(0)))
        assert found.confidence is not None
        assert found.confidence.shape == (24, 32)

    def test_a_fake_session_that_is_told(self) -> None:
        frame = noise(np.random.default_rng(0))
        with FakeSession(brightest_channel, confidence=brightness) as session:
            assert_both(session, [(24, 32)])
        assert FakeSession(brightest_channel).run_all(frame[np.newaxis]).confidence is None


class TestBundle:
    def test_the_contract_names_it(self, tmp_path: Path) -> None:
        bundle = sure_bundle(tmp_path / "a.edgeseg", (24, 32))
        value = read_manifest(bundle.path)
        assert value["contract"]["confidence"] == {"name": "confidence", "dtype": "uint8", "shape": [1, 24, 32]}
        assert value["golden"][0]["confidence"] == {"file": "golden/day.confidence.png", "may_differ": {"fp32": 1e-4}}
        (golden,) = Bundle.open(bundle.path).golden()
        assert golden.confidence is not None
        np.testing.assert_array_equal(golden.confidence, brightness(golden.frame_bgr))

    def test_without_it_there_is_no_word_of_it(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        assert b"confidence" not in (bundle.path / "manifest.json").read_bytes()

    @pytest.mark.parametrize(
        "damage", ["shape", "dtype", "type", "tolerance", "precision", "file", "golden", "unasked"]
    )
    def test_what_does_not_fit_is_refused(self, tmp_path: Path, damage: str) -> None:
        bundle = sure_bundle(tmp_path / "a.edgeseg", (24, 32))
        value = read_manifest(bundle.path)
        golden = value["golden"][0]
        if damage == "shape":
            value["contract"]["confidence"]["shape"] = [1, 32, 24]
        elif damage == "dtype":
            value["contract"]["confidence"]["dtype"] = "float32"
        elif damage == "type":
            value["contract"]["confidence"] = True
        elif damage == "tolerance":
            golden["confidence"]["may_differ"] = {"fp32": -0.5}
        elif damage == "precision":
            golden["confidence"]["may_differ"] = {}
        elif damage == "file":
            golden["confidence"]["file"] = "golden/other.png"
        elif damage == "golden":
            del value["files"][golden.pop("confidence")["file"]]
        else:
            del value["contract"]["confidence"]
        write_sealed(bundle.path, value)
        with pytest.raises(BundleError) as caught:
            Bundle.open(bundle.path).golden()
        assert "\n" not in str(caught.value)


class TestVerify:
    def test_a_sound_bundle_passes(self, tmp_path: Path) -> None:
        report = verify_bundle(sure_bundle(tmp_path / "a.edgeseg"))
        assert report.passed
        (frame,) = report.to_dict()["graphs"]["fp32"]["frames"]
        assert frame["confidence"] == {"off": 0.0, "may_differ": 1e-4}

    def test_labels_that_are_right_with_a_confidence_that_is_not(self, tmp_path: Path) -> None:
        report = verify_bundle(sure_bundle(tmp_path / "a.edgeseg", darker=20))
        assert report.graphs[0].agreement == 1.0
        assert not report.passed
        with pytest.raises(
            GateError, match=r"labels the golden frames right, but its confidence is off by 0\.078"
        ) as caught:
            report.raise_if_failed()
        assert "\n" not in str(caught.value)

    def test_int8_may_be_off_as_far_as_it_was_and_a_little(self, tmp_path: Path) -> None:
        assert verify_bundle(sure_bundle(tmp_path / "a.edgeseg", precision="int8-cpu", darker=1)).passed
        assert not verify_bundle(sure_bundle(tmp_path / "b.edgeseg", precision="int8-cpu", darker=20)).passed

    def test_a_bundle_without_it_says_nothing_of_it(self, tmp_path: Path) -> None:
        frames = verify_bundle(tiny_bundle(tmp_path / "a.edgeseg")).to_dict()["graphs"]["fp32"]["frames"]
        assert all("confidence" not in frame for frame in frames)


class TestPredict:
    def test_a_picture_of_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        frame = noise(np.random.default_rng(3), (40, 60))
        cv2.imwrite(str(tmp_path / "road.png"), frame)
        bundle = sure_bundle(tmp_path / "a.edgeseg").path
        report = tmp_path / "report.json"
        arguments = ["predict", "--model", str(bundle), str(tmp_path / "road.png"), "--confidence"]
        assert main([*arguments, "--json", str(report)]) == 0
        picture = tmp_path / "road.confidence.png"
        assert f"  {picture}" in capsys.readouterr().out.splitlines()
        np.testing.assert_array_equal(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED), brightness(frame))
        assert json.loads(report.read_text())["photos"][0]["confidence"] == str(picture)

    def test_a_bundle_without_it_is_refused_before_anything_is_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cv2.imwrite(str(tmp_path / "road.png"), noise(np.random.default_rng(3), (40, 60)))
        bundle = tiny_bundle(tmp_path / "a.edgeseg").path
        assert main(["predict", "--model", str(bundle), str(tmp_path / "road.png"), "--confidence"]) == 2
        assert "Export it with --confidence" in capsys.readouterr().err
        assert not list(tmp_path.glob("road.*.png"))


def test_auto_opens_a_bundle_with_it(tmp_path: Path) -> None:
    with open_session("onnxruntime", sure_bundle(tmp_path / "a.edgeseg")) as session:
        assert session.confidence is not None
