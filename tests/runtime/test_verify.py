from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import brightest_channel, noise, tiny_bundle, tiny_graph, tiny_writer

from edgeseg.bundle import Bundle
from edgeseg.errors import BundleError, GateError
from edgeseg.runtime.verify import verify_bundle


def test_a_sound_bundle_agrees_with_itself(tmp_path: Path) -> None:
    report = verify_bundle(tiny_bundle(tmp_path / "a.edgeseg"), threads=1)
    assert report.passed
    assert (report.backend, report.files) == ("onnxruntime", 6)
    assert [graph.precision for graph in report.graphs] == ["fp32", "fp16"]
    assert [frame.name for frame in report.graphs[0].frames] == ["day_000", "night_000"]
    assert all(graph.agreement == 1.0 for graph in report.graphs)
    report.raise_if_failed()


def test_a_graph_that_gives_other_labels_fails(tmp_path: Path) -> None:
    report = verify_bundle(tiny_bundle(tmp_path / "a.edgeseg", operators={"fp32": "ArgMax", "fp16": "ArgMin"}))
    assert [graph.passed for graph in report.graphs] == [True, False]
    assert not report.passed
    pixels = 24 * 32
    differing = report.graphs[1].frames[0].differing
    assert differing > pixels // 2
    assert report.graphs[1].frames[0].agreement == pytest.approx(1 - differing / pixels)
    with pytest.raises(
        GateError, match=rf"fp16 on onnxruntime labels \d+ of {pixels} pixels of golden frame"
    ) as caught:
        report.raise_if_failed()
    assert "\n" not in str(caught.value)


def test_only_the_precision_asked_for(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "a.edgeseg", operators={"fp32": "ArgMax", "fp16": "ArgMin"})
    assert verify_bundle(bundle, ["fp32"]).passed
    with pytest.raises(BundleError, match="no int8-cpu graph"):
        verify_bundle(bundle, ["int8"])


@pytest.mark.parametrize(("differing", "passed"), [(2, True), (3, False)])
def test_the_gate_lies_exactly_at_the_tolerance(tmp_path: Path, differing: int, passed: bool) -> None:
    frame = noise(np.random.default_rng(4), (100, 200))
    labels = brightest_channel(frame)
    labels.reshape(-1)[:differing] = (labels.reshape(-1)[:differing] + 1) % 3
    with tiny_writer(tmp_path / "a.edgeseg") as writer:
        writer.add_graph("fp32", tiny_graph(), opset=20)
        writer.add_golden("one", frame, labels)
        bundle = writer.finish(lineage={})
    (graph,) = verify_bundle(bundle).graphs
    assert (graph.frames[0].may_differ, graph.frames[0].differing) == (2, differing)
    assert graph.passed is passed


def test_latency_is_the_median_after_a_warm_up(tmp_path: Path) -> None:
    # Start and end of each run: 50 ms of warm-up, then 3 ms and 5 ms.
    ticks = iter([0.0, 0.050, 1.0, 1.003, 2.0, 2.005])
    bundle = tiny_bundle(tmp_path / "a.edgeseg", operators={"fp32": "ArgMax"})
    (graph,) = verify_bundle(bundle, clock=lambda: next(ticks)).graphs
    assert graph.latency_ms == pytest.approx(4.0)


def test_the_report_is_plain_data(tmp_path: Path) -> None:
    report = verify_bundle(Bundle.open(tiny_bundle(tmp_path / "a.edgeseg").path))
    value = json.loads(json.dumps(report.to_dict()))
    assert value["passed"] is True
    assert value["graphs"]["fp16"]["argmax_agreement"] == 1.0
    frame = value["graphs"]["fp32"]["frames"][0]
    assert (frame["name"], frame["pixels"], frame["differing"], frame["agreement"]) == ("day_000", 768, 0, 1.0)
