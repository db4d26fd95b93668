"""Bundles whose graphs say how sure they are: of tests/tiny_bundle.py's labels, as sure as the pixel is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import LABELS, Hw, brightest_channel, noise, tiny_graph

from edgeseg.bundle import Bundle, BundleWriter
from edgeseg.types import CONFIDENCE, Confidence, Frame


def brightness(frame_bgr: Frame) -> Confidence:
    """What the graph's second output is, in numpy."""
    return np.asarray(frame_bgr.max(axis=2), np.uint8)


def sure_graph(camera_hw: Hw | None = None, *, name: str = CONFIDENCE, darker: int = 0) -> bytes:
    """frame → labels and confidence uint8 (1, H, W), serialised; `darker` is taken off all confidences."""
    model = onnx.load_from_string(tiny_graph(camera_hw))
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([3]), "channels"),
            numpy_helper.from_array(np.array(darker, np.float32), "off"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["levels", "channels"], ["brightest"], keepdims=0),
            helper.make_node("Sub", ["brightest", "off"], ["less"]),
            helper.make_node("Max", ["less", "zero"], ["level"]),
            helper.make_node("Cast", ["level"], [name], to=TensorProto.UINT8),
        ]
    )
    output = graph.output.add()
    output.CopyFrom(graph.output[0])
    output.name = name
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def sure_bundle(path: Path, camera_hw: Hw | None = None, *, precision: str = "fp32", darker: int = 0) -> Bundle:
    """A bundle with a golden frame and one graph, whose confidence is off by `darker` of 255."""
    with BundleWriter(
        path,
        name="tiny",
        label_map=LABELS,
        network_hw=(24, 32),
        camera_hw=camera_hw,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        confidence=True,
    ) as writer:
        writer.add_graph(precision, sure_graph(camera_hw, darker=darker), opset=20)
        frame = np.maximum(noise(np.random.default_rng(7), camera_hw or (24, 32)), 50)
        frame[..., 1] += 1  # no ties
        writer.add_golden("day", frame, brightest_channel(frame), confidence=brightness(frame))
        return writer.finish(lineage={"source": "tests"})
