"""From an export to INT8 graphs in a bundle, or to a refusal with nothing left behind but its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from tiny_graph import LABEL_MAP, tiny_model
from tiny_judged import Frames, Labelled, labels_of, soft_frames

from edgeseg.bundle import Bundle
from edgeseg.errors import ConfigError, GateError
from edgeseg.graph import deliver as float_stage
from edgeseg.graph.deliver import Delivery, deliver
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.frames import NamedFrame
from edgeseg.graph.recheck import Recheck, open_exported
from edgeseg.graph.recipe import ExportConfig
from edgeseg.quantize import deliver as stage
from edgeseg.quantize import judge
from edgeseg.quantize.budget import Budget
from edgeseg.quantize.deliver import Int8Config, int8_within_budget
from edgeseg.quantize.ranges import Range, RangeTable, observe_ranges
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import Frame

ROOMY = Budget(max_miou_drop=3, max_class_drop=5, max_disagreement=3)


def _scenes(camera_hw: object, network_hw: object) -> list[NamedFrame]:
    return [NamedFrame(f"soft_{index}", frame) for index, frame in enumerate(soft_frames(5, seed=2))]


def _fast(models: Mapping[str, bytes], *_: object, **__: object) -> dict[str, float]:
    """The tiny network is too small for INT8 to be faster."""
    return {precision: 1.0 if precision.startswith("int8") else 2.0 for precision in models}


Observe = Callable[..., RangeTable]


@pytest.fixture(scope="module")
def observe(exported: ExportedGraph) -> Observe:
    """`observe_ranges` that has done its work already, and only counts the frames."""
    table = observe_ranges(exported.model, soft_frames(12), calibration_digest="12" * 32)

    def observed(model: ModelProto, frames: Iterator[Frame], *, calibration_digest: str) -> RangeTable:
        table.check_graph(model)
        assert calibration_digest == table.calibration_digest
        return replace(table, frames=sum(1 for _ in frames))

    return observed


@pytest.fixture(scope="module", autouse=True)
def quick(exported: ExportedGraph, observe: Observe) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(float_stage, "export_graph", lambda *_: exported)
        patch.setattr(float_stage, "road_scenes", _scenes)
        patch.setattr(judge, "latencies_ms", _fast)
        patch.setattr(stage, "observe_ranges", observe)
        yield


@pytest.fixture(scope="module")
def labelled(exported: ExportedGraph) -> Labelled:
    frames = soft_frames(6, seed=1)
    return Labelled(frames, labels_of(exported.model, frames), LABEL_MAP)


@pytest.fixture(scope="module")
def config(labelled: Labelled) -> Int8Config:
    return Int8Config(Frames(tuple(soft_frames(12))), labelled, ROOMY, methods=("mse", "min-max"), threads=1)


@pytest.fixture(scope="module")
def delivery(config: Int8Config, tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    folder = tmp_path_factory.mktemp("int8")
    quantise = partial(int8_within_budget, config=config, label_map=LABEL_MAP, report_stem=folder / "road")
    return deliver(tiny_model(), ExportConfig(fp16=True, int8=True), folder / "road.edgeseg", quantise=quantise)


@pytest.fixture(scope="module")
def bundle(delivery: Delivery) -> Bundle:
    delivery.raise_if_failed()
    assert delivery.bundle is not None
    return Bundle.open(delivery.bundle.path)


def test_the_bundle_has_both_int8_graphs_and_they_are_int8(bundle: Bundle) -> None:
    assert bundle.precisions == ("fp32", "fp16", "int8-cpu", "int8-trt")
    for precision, kind in (("int8-cpu", b"uint8"), ("int8-trt", b"int8")):
        model = ModelProto.FromString(bundle.graph_bytes(precision))
        pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
        assert pairs, kind


def test_the_parity_ladder_goes_on_to_int8(delivery: Delivery) -> None:
    assert [(pair.reference, pair.candidate) for pair in delivery.parity.pairs] == [
        ("torch-fp32", "onnx-fp32"),
        ("onnx-fp32", "onnx-fp16"),
        ("torch-fp32", "onnx-fp16"),
        ("onnx-fp32", "onnx-int8-cpu"),
        ("torch-fp32", "onnx-int8-cpu"),
        ("onnx-fp32", "onnx-int8-trt"),
        ("torch-fp32", "onnx-int8-trt"),
    ]
    int8 = [pair.agreement for pair in delivery.parity.pairs[3:]]
    assert all(0.95 <= agreement.argmax_agreement < 1 for agreement in int8)


def test_the_manifest_says_what_int8_was_made_of_and_what_it_costs(bundle: Bundle, config: Int8Config) -> None:
    record = bundle.manifest.int8
    assert record is not None
    assert record["calibration"] == {"digest": "12" * 32, "sources": ["tiny"], "observed_frames": 12}
    assert record["evaluation"] == {
        "dataset": "tiny val",
        "frames": 6,
        "labelled": True,
        "part_of_training_data": None,
    }
    assert record["budget"] == {"max_miou_drop": 3, "max_class_drop": 5, "max_disagreement": 3}
    assert record["fp32"]["miou"] == 1.0
    cpu, trt = record["graphs"]["int8-cpu"], record["graphs"]["int8-trt"]
    for entry in (cpu, trt):
        assert entry["method"] == "mse"
        assert entry["cost"]["miou_drop"] == pytest.approx(100 * (1 - entry["miou"]))
        assert entry["pedestrians"] is None, "the tiny network knows none"
        assert entry["cost"]["miou_drop"] < entry["cost"]["miou_drop_at_most"]
        assert entry["cost"]["disagreement"] < entry["cost"]["disagreement_at_most"] < ROOMY.max_disagreement
        assert entry["cost"]["margin"] == 0
    assert cpu["kept"] == {}
    (loud,) = trt["kept"].values()
    assert loud["module"] in dict(tiny_model().network.named_modules())
    assert loud["gain"] > judge.LOUD_SHARE, "one layer makes most of the noise, within the budget or not"
    assert cpu["speedup"] == 2.0
    assert trt["speedup"] is None
    assert "TensorRT runs this graph" in trt["untimed_because"]
    assert any("class scores" in reason for reason in cpu["conversion"]["kept_float"].values())


def test_ranges_observed_before_are_used_where_they_are_of_this_graph_and_these_frames(
    exported: ExportedGraph, config: Int8Config, observe: Observe, tmp_path: Path
) -> None:
    table = observe(exported.model, config.calibration, calibration_digest=config.calibration.digest)
    saved = replace(table, frames=99)

    def told(config: Int8Config) -> tuple[str, int]:
        lines: list[str] = []
        floats = {"fp32": exported.model}
        made = int8_within_budget(
            exported, floats, config=config, label_map=LABEL_MAP, report_stem=tmp_path / "road", tell=lines.append
        )
        return lines[0], made.record["calibration"]["observed_frames"]

    line, frames = told(replace(config, ranges=saved))
    assert (frames, line.partition("taken from")[1:]) == (99, ("taken from", " the calibration folder"))
    for other, why in (
        (replace(config, ranges=replace(saved, graph_sha256="0" * 64)), "of another graph"),
        (replace(config, ranges=replace(saved, calibration_digest="0" * 64)), "of other frames"),
        (replace(config, ranges=saved, evaluation=None), "held back to judge by"),
    ):
        line, frames = told(other)
        assert why in line
        assert line.endswith("they are observed again")
        assert frames in (9, 12)


def test_the_bundle_verifies_itself_and_int8_may_differ_as_it_did_when_made(bundle: Bundle) -> None:
    report = verify_bundle(bundle)
    assert report.passed
    for graph in report.graphs[2:]:
        for frame in graph.frames:
            ppm = {"int8-cpu": 5000, "int8-trt": 10_000}[graph.precision]
            assert frame.may_differ == frame.differing + frame.pixels * ppm // 1_000_000
    assert verify_bundle(bundle, ["int8"]).graphs[0].precision == "int8-cpu"


def test_report_and_pictures_lie_beside_the_bundle(bundle: Bundle) -> None:
    folder = bundle.path.parent
    names = {path.name for path in folder.iterdir()}
    assert names == {"road.edgeseg", "road.int8.json", "road.int8-cpu.png", "road.int8-trt.png"}
    report = json.loads((folder / "road.int8.json").read_text())
    assert report["refused"] is None
    assert [mix["method"] for mix in report["tried"]["int8-cpu"]] == ["mse"]


def _refused(config: Int8Config, folder: Path) -> dict[str, Any]:
    """Deliver where that must fail; what is left is the report, which this returns."""
    quantise = partial(int8_within_budget, config=config, label_map=LABEL_MAP, report_stem=folder / "road")
    with pytest.raises(
        GateError, match=r"INT8 is refused\. int8-cpu: .*No bundle was written.*road\.int8\.json"
    ) as told:
        deliver(tiny_model(), ExportConfig(int8=True), folder / "road.edgeseg", quantise=quantise)
    assert "\n" not in str(told.value)
    assert {path.name for path in folder.iterdir()} == {"road.int8.json", "road.int8-cpu.png"}
    value = json.loads((folder / "road.int8.json").read_text())
    assert isinstance(value, dict)
    return value


def _halved(table: RangeTable) -> RangeTable:
    """What lies above half of each range saturates."""
    ranges = {
        method: {name: Range(found.low, found.high / 2) for name, found in tensors.items()}
        for method, tensors in table.ranges.items()
    }
    return replace(table, ranges=ranges)


def test_saturated_ranges_are_over_budget(
    config: Int8Config, observe: Observe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "observe_ranges", lambda *args, **given: _halved(observe(*args, **given)))
    report = _refused(config, tmp_path)
    assert "over budget" in report["refused"]
    assert len(report["tried"]["int8-cpu"]) >= 3, "both methods, then layers in float"


def test_saturated_ranges_fail_parity_where_nobody_kept_a_budget(
    exported: ExportedGraph, config: Int8Config, observe: Observe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "observe_ranges", lambda *args, **given: _halved(_halved(observe(*args, **given))))
    anything = replace(config, budget=Budget(100, 100, 100))
    quantise = partial(int8_within_budget, config=anything, label_map=LABEL_MAP, report_stem=tmp_path / "road")
    delivery = deliver(tiny_model(), ExportConfig(int8=True), tmp_path / "road.edgeseg", quantise=quantise)
    assert delivery.bundle is None
    assert set(delivery.kept) == {"int8-cpu", "int8-trt"}
    with pytest.raises(GateError, match=r"onnx-int8-cpu is not .*of pixels keep their class"):
        delivery.raise_if_failed()
    # What the message names can be looked at: each graph says itself which it is, and where the error grows.
    for precision, path in delivery.kept.items():
        kept = open_exported(path)
        assert list(kept.graphs) == [precision]
        (divergence,) = Recheck(replace(kept, graphs={"fp32": exported.model, **kept.graphs}), None).locate(
            soft_frames(1)[0]
        )
        assert (divergence.reference, divergence.candidate) == ("onnx-fp32", f"onnx-{precision}")
        assert divergence.compared > 5
        assert divergence.steepest[0].growth > 1


def test_slower_than_float_is_refused(config: Int8Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "latencies_ms", lambda models, *_, **__: dict.fromkeys(models, 3.0))
    assert _refused(config, tmp_path)["refused"] == (
        "int8-cpu: INT8 takes 3.0 ms on this machine, the float graph 3.0 ms"
    )


def test_the_layers_that_stay_in_float_are_named_with_what_they_lose(
    exported: ExportedGraph, config: Int8Config, labelled: Labelled, observe: Observe, tmp_path: Path
) -> None:
    whole = int8_within_budget(
        exported, {"fp32": exported.model}, config=config, label_map=LABEL_MAP, report_stem=tmp_path / "whole"
    ).record["graphs"]["int8-trt"]
    # A little less than it costs with every layer in INT8.
    budget = Budget(max_miou_drop=0.8 * whole["cost"]["miou_drop"], max_class_drop=100)
    tight = replace(config, budget=budget, methods=("mse",))
    found = judge.Judge(
        exported,
        {"fp32": exported.model},
        observe(exported.model, iter(config.calibration), calibration_digest="12" * 32),
        labelled,
        LABEL_MAP,
        threads=1,
        tell=lambda _: None,
    )
    chosen = found.search("trt", tight.methods, tight.budget).chosen
    assert chosen is not None
    assert 1 <= len(chosen.kept) < 5
    losses = {loss.layer: loss for loss in found.losses["trt"]}
    assert set(chosen.kept) <= set(losses)
    gains = [losses[layer].gain for layer in chosen.kept]
    assert gains[0] is not None
    assert gains[0] > 0, "leaving the worst in float brings the logits nearer"
    reasons = found.build("trt", "mse", chosen.kept).report["kept_float"]
    assert all("kept for accuracy" in reasons[layer] for layer in chosen.kept)


def test_without_labels_frames_are_held_back_and_agreement_is_what_counts(
    exported: ExportedGraph, config: Int8Config, tmp_path: Path
) -> None:
    unlabelled = replace(config, evaluation=None)
    record = int8_within_budget(
        exported, {"fp32": exported.model}, config=unlabelled, label_map=LABEL_MAP, report_stem=tmp_path / "road"
    ).record
    assert record["calibration"]["observed_frames"] == 9
    assert record["evaluation"]["dataset"] == "agreement with FP32, no labels"
    assert record["evaluation"]["frames"] == 3
    cost = record["graphs"]["int8-cpu"]["cost"]
    assert 0 < cost["disagreement"] < cost["disagreement_at_most"] <= ROOMY.max_disagreement
    with pytest.raises(ConfigError, match="at least 8"):
        replace(unlabelled, calibration=Frames(tuple(soft_frames(7))))


def test_one_labelled_frame_bounds_nothing(config: Int8Config, labelled: Labelled) -> None:
    frames = [labelled[0].image_bgr]
    with pytest.raises(ConfigError, match=r"tiny val: 1 labelled frame; expected at least 2"):
        replace(config, evaluation=Labelled(frames, [labelled[0].labels], LABEL_MAP))


def test_ranges_by_a_way_that_is_not_there(config: Int8Config) -> None:
    with pytest.raises(ConfigError, match="ranges by guess: choose from min-max"):
        replace(config, methods=("guess",))


def test_int8_needs_somebody_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="deliver needs `quantise`"):
        deliver(tiny_model(), ExportConfig(int8=True), tmp_path / "road.edgeseg")
    assert not list(tmp_path.iterdir())


def test_latencies_are_medians_of_turns(exported: ExportedGraph) -> None:
    """Both graphs take turns; the first rounds, which allocate, do not count."""
    from edgeseg.quantize.scoring import WARM_UP, latencies_ms

    took_s = {"fp32": [99.0] * WARM_UP + [4.0, 5.0, 60.0], "int8-cpu": [99.0] * WARM_UP + [2.0, 1.0, 3.0]}
    now, ticks = 0.0, []
    for turn in range(WARM_UP + 3):
        for precision in ("fp32", "int8-cpu"):
            ticks += [now, now + took_s[precision][turn]]
            now = ticks[-1]
    file = exported.model.SerializeToString()
    found = latencies_ms(
        {"fp32": file, "int8-cpu": file},
        np.zeros((50, 70, 3), np.uint8),
        threads=1,
        rounds=3,
        clock=iter(ticks).__next__,
    )
    assert found == {"fp32": 5000.0, "int8-cpu": 2000.0}
