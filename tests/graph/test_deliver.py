"""From a trained model to a bundle, or to nothing but the graph that failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from tiny_graph import LABEL_MAP, tiny_model

from edgeseg.bundle import Bundle
from edgeseg.data import Sample
from edgeseg.errors import BundleError, CheckpointError, ConfigError, GateError, UnavailableError
from edgeseg.graph import deliver as stage
from edgeseg.graph import golden
from edgeseg.graph.deliver import Delivery, deliver
from edgeseg.graph.frames import NamedFrame
from edgeseg.graph.recheck import Recheck, dataset_frames, open_exported, trained_model
from edgeseg.graph.recipe import ExportConfig
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import Frame

MOMENT = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def _scenes(camera_hw: tuple[int, int] | None, network_hw: tuple[int, int]) -> list[NamedFrame]:
    """Bright and dark patches instead of drawn roads, which take longer."""
    height, width = camera_hw or network_hw
    rng = np.random.default_rng(8)
    frames = rng.integers(0, 256, (6, height // 10, width // 10, 3), np.uint8).repeat(10, axis=1).repeat(10, axis=2)
    return [NamedFrame(f"patches_{index}", frame) for index, frame in enumerate(frames)]


@pytest.fixture(scope="module")
def quick_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "road_scenes", _scenes)
        yield


@pytest.fixture(scope="module")
def delivery(quick_scenes: None, tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    path = tmp_path_factory.mktemp("delivered") / "tiny.edgeseg"
    return deliver(tiny_model(), ExportConfig(fp16=True), path, clock=lambda: MOMENT)


@pytest.fixture(scope="module")
def bundle(delivery: Delivery) -> Bundle:
    delivery.raise_if_failed()
    assert delivery.bundle is not None
    return Bundle.open(delivery.bundle.path)


def test_the_bundle_has_both_graphs_and_says_what_they_are(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.contract.camera_hw == bundle.contract.network_hw == (50, 70)
    assert manifest.name == "tiny"
    assert manifest.created == "2026-11-21T12:00:00+00:00"
    assert manifest.accuracy is None, "nothing was recorded in the checkpoint"
    assert manifest.latency is not None
    assert set(manifest.latency["median_ms"]) == {"fp32", "fp16"}
    assert min(manifest.latency["median_ms"].values()) > 0
    assert {graph.opset for graph in manifest.graphs.values()} == {20}
    assert manifest.graphs["fp32"].params == sum(value.numel() for value in tiny_model().network.parameters())


def test_the_lineage_names_the_checkpoint_and_no_folder_of_this_machine(bundle: Bundle) -> None:
    lineage = bundle.manifest.lineage
    assert lineage["checkpoint"] == "tiny.safetensors"
    assert lineage["checkpoint_sha256"] == "ab" * 32
    assert set(lineage["tools"]) == {"torch", "onnx", "onnxscript", "onnxruntime"}


def test_the_evidence_is_in_the_manifest(bundle: Bundle, delivery: Delivery) -> None:
    record = bundle.manifest.parity
    assert record is not None
    assert record["pairs"] == delivery.to_dict()["parity"]["pairs"]
    assert record["passed"] is True
    assert list(record["fp16_conversion"]["kept_fp32"]) == ["node_mean"]


def test_the_golden_frames_are_those_that_all_graphs_agree_on_best(bundle: Bundle, delivery: Delivery) -> None:
    golden = {frame.name for frame in bundle.golden()}
    worst = np.min([pair.agreement.by_frame for pair in delivery.parity.pairs], axis=0)
    assert len(golden) == 4
    left_out = [worst[index] for index in range(6) if f"patches_{index}" not in golden]
    assert max(left_out) <= min(worst[index] for index in range(6) if f"patches_{index}" in golden)


def test_the_bundle_verifies_itself(bundle: Bundle) -> None:
    report = verify_bundle(bundle)
    assert report.passed
    assert {graph.precision for graph in report.graphs} == {"fp32", "fp16"}


def test_the_json_names_the_files(bundle: Bundle, delivery: Delivery) -> None:
    value = delivery.to_dict()
    assert value["bundle"] == str(bundle.path)
    assert value["graphs"] == {name: str(bundle.graph_path(name)) for name in ("fp32", "fp16")}
    assert value["failed"] == {}


def test_a_failed_gate_leaves_the_graph_under_another_name_and_nothing_else(
    quick_scenes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeseg.graph.parity.MIN_AGREEMENT", {"fp32": 0.9999, "fp16": 1.1})
    path = tmp_path / "road.edgeseg"
    delivery = deliver(tiny_model(), ExportConfig(fp16=True), path)
    assert delivery.bundle is None
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["road.model.fp16.failed.onnx"]
    with pytest.raises(GateError, match=r"onnx-fp16 is not .*No bundle was written.*road\.model\.fp16\.failed\.onnx"):
        delivery.raise_if_failed()
    value = delivery.to_dict()
    assert value["bundle"] is None
    assert value["failed"] == {"fp16": str(tmp_path / "road.model.fp16.failed.onnx")}


def test_golden_frames_that_even_this_machine_does_not_reproduce_stop_the_export(
    quick_scenes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "torch_labels", lambda _, frame: np.full(frame.shape[:2], 2, np.uint8))
    with pytest.raises(GateError, match="on golden frame patches_"):
        deliver(tiny_model(), ExportConfig(), tmp_path / "road.edgeseg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "error"), [("road", ConfigError), ("taken.edgeseg", BundleError)])
def test_a_path_that_will_not_do_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    (tmp_path / "taken.edgeseg").mkdir()
    (tmp_path / "taken.edgeseg" / "holiday.jpg").write_bytes(b"")
    monkeypatch.setattr(stage, "export_graph", lambda *_: pytest.fail("worked before looking"))
    with pytest.raises(error):
        deliver(tiny_model(), ExportConfig(), tmp_path / name)
    assert (tmp_path / "taken.edgeseg" / "holiday.jpg").exists()


def _frames() -> list[Frame]:
    return [scene.frame_bgr for scene in _scenes(None, (50, 70))]


def test_a_bundle_measured_again_gives_what_it_was_delivered_with(bundle: Bundle, delivery: Delivery) -> None:
    again = Recheck(open_exported(bundle.path), tiny_model()).measure(_frames(), frames_from=delivery.parity.frames)
    assert again.to_dict() == delivery.parity.to_dict()


def test_without_the_trained_model_fp32_and_fp16_are_compared(bundle: Bundle) -> None:
    recheck = Recheck(open_exported(bundle.path), None)
    assert [pair.candidate for pair in recheck.measure(_frames(), frames_from="patches").pairs] == ["onnx-fp16"]
    (found,) = recheck.locate(_frames()[0])
    assert (found.reference, found.candidate, found.first) == ("onnx-fp32", "onnx-fp16", None)


def test_an_fp16_graph_alone_is_compared_through_an_fp32_graph_made_again(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "road.model.fp16.failed.onnx"
    path.write_bytes(bundle.graph_bytes("fp16"))
    kept = open_exported(path)
    assert (kept.network_hw, kept.camera_hw) == ((50, 70), (50, 70))
    assert kept.label_map.names == LABEL_MAP.names
    assert kept.checkpoint_sha256 == "ab" * 32
    recheck = Recheck(kept, tiny_model())
    assert len(recheck.measure(_frames(), frames_from="patches").pairs) == 3
    assert [(step.candidate, step.first) for step in recheck.locate(_frames()[0])] == [
        ("onnx-fp32", None),
        ("onnx-fp16", None),
    ]
    with pytest.raises(UnavailableError, match="no FP32 graph"):
        Recheck(kept, None)


@pytest.mark.parametrize("content", [b"", b"\x00\x01 not a graph", b"{}"])
def test_a_file_that_is_no_sealed_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"graph\.onnx is not a sealed graph"):
        open_exported(path)


@pytest.mark.parametrize("named", [True, False])
def test_another_checkpoint_than_the_bundle_was_made_from_is_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other")
    monkeypatch.setattr("edgeseg.models.checkpoint.default_checkpoint", lambda: other)
    words = "expected abababababab…" if named else "Name its checkpoint with --checkpoint"
    with pytest.raises(CheckpointError, match=words):
        trained_model(open_exported(bundle.path), other if named else None)


class _Drive:
    """Frames of one grey each, 30 × 40, numbered by their grey."""

    name = "greys"
    label_map = LABEL_MAP

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), np.full((30, 40, 3), index, np.uint8), np.zeros((30, 40), np.uint8))


@pytest.mark.parametrize(("limit", "greys"), [(3, [0, 4, 8]), (1, [0]), (50, list(range(9)))])
def test_frames_are_spread_over_the_dataset(limit: int, greys: list[int]) -> None:
    frames = dataset_frames(_Drive(), limit, None)
    assert [int(frame[0, 0, 0]) for frame in frames] == greys
    assert {frame.shape for frame in frames} == {(30, 40, 3)}


def test_frames_are_resized_to_the_camera_of_the_graph() -> None:
    (frame,) = dataset_frames(_Drive(), 1, (50, 70))
    assert frame.shape == (50, 70, 3)


def test_no_frames_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="limit=0"):
        dataset_frames(_Drive(), 0, None)
