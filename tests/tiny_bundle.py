"""Bundles that are written in milliseconds: the graph gives each pixel its brightest channel, as class 0, 1 or 2."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeseg.bundle import Bundle, BundleWriter
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels

LABELS = LabelMap(("blue", "green", "red"), ((0, 0, 255), (0, 255, 0), (255, 0, 0)))
Hw = tuple[int, int]


def brightest_channel(frame_bgr: Frame) -> Labels:
    """What the graph computes, in numpy."""
    return np.asarray(frame_bgr.argmax(axis=2), np.uint8)


def darkest_channel(frame_bgr: Frame) -> Labels:
    """What the graph with `operator="ArgMin"` computes."""
    return np.asarray(frame_bgr.argmin(axis=2), np.uint8)


def tiny_graph(camera_hw: Hw | None = None, *, operator: str = "ArgMax", frame_type: int = TensorProto.UINT8) -> bytes:
    """frame (1, H, W, 3) → labels uint8 (1, H, W), serialised."""
    height, width = camera_hw or ("height", "width")
    nodes = [
        helper.make_node("Cast", ["frame"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node(operator, ["levels"], ["ids"], axis=3, keepdims=0),
        helper.make_node("Cast", ["ids"], ["labels"], to=TensorProto.UINT8),
    ]
    frame = helper.make_tensor_value_info("frame", frame_type, [1, height, width, 3])
    labels = helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, height, width])
    graph = helper.make_graph(nodes, "brightest", [frame], [labels])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def noise(rng: np.random.Generator, size_hw: Hw = (24, 32)) -> Frame:
    """A frame of random pixels whose channels differ."""
    frame = rng.integers(0, 250, (*size_hw, 3), dtype=np.uint8)
    return frame + np.array([0, 1, 2], np.uint8)


def tiny_writer(path: Path, camera_hw: Hw | None = None, label_map: LabelMap = LABELS) -> BundleWriter:
    return BundleWriter(
        path, name="tiny", label_map=label_map, network_hw=(24, 32), camera_hw=camera_hw, mean=(0, 0, 0), std=(1, 1, 1)
    )


def tiny_bundle(
    path: Path,
    camera_hw: Hw | None = None,
    *,
    operators: dict[str, str] | None = None,
    label_map: LabelMap = LABELS,
) -> Bundle:
    """A bundle with two golden frames and a graph for each precision in `operators`, FP32 and FP16 by default."""
    rng = np.random.default_rng(7)
    with tiny_writer(path, camera_hw, label_map) as writer:
        for precision, operator in (operators or {"fp32": "ArgMax", "fp16": "ArgMax"}).items():
            writer.add_graph(precision, tiny_graph(camera_hw, operator=operator), opset=20, params=0)
        for name in ("day_000", "night_000"):
            frame = noise(rng, camera_hw or (24, 32))
            writer.add_golden(name, frame, brightest_channel(frame))
        return writer.finish(lineage={"source": "tests"}, parity={"fp32": {"argmax_agreement": 1.0}})


def read_manifest(bundle: Path) -> dict[str, Any]:
    value = json.loads((bundle / "manifest.json").read_bytes())
    assert isinstance(value, dict)
    return value


def write_sealed(bundle: Path, value: dict[str, Any]) -> None:
    """Write a manifest whose own hash is right, as somebody who alters a bundle on purpose would."""
    unsealed = json.dumps({**value, "sha256": "0" * 64}).encode()
    digest = hashlib.sha256(unsealed).hexdigest()
    (bundle / "manifest.json").write_bytes(unsealed.replace(b"0" * 64, digest.encode(), 1))
