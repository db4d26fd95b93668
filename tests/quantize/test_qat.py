"""Quantisation-aware fine-tuning: rounded where the exported graph is, as the exported graph is, and better for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tiny_graph
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_datasets import FOLDER_TOML, save_frame, save_grey
from tiny_judged import Frames
from torch import nn

from edgeseg.cli.main import main
from edgeseg.data import open_dataset
from edgeseg.data.augment import AugmentConfig
from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import sha256_file
from edgeseg.graph.contract import LABELS
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.observe import Observer
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.checkpoint import load_checkpoint, save_checkpoint
from edgeseg.models.registry import NETWORKS, ModelSpec
from edgeseg.models.upsampling import transposed_upsample
from edgeseg.quantize.budget import Budget
from edgeseg.quantize.deliver import Int8Config, int8_within_budget
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.dialects.cpu import asymmetric
from edgeseg.quantize.dialects.layout import channels_last
from edgeseg.quantize.dialects.trt import symmetric
from edgeseg.quantize.fake import phases_first, phases_last, round_asymmetric, round_channels, round_symmetric
from edgeseg.quantize.placement import place
from edgeseg.quantize.qat import QuantizationAware
from edgeseg.quantize.ranges import RangeTable, observe_ranges
from edgeseg.quantize.simulation import Hooks, Simulation
from edgeseg.quantize.trained_ranges import TRAINED, with_trained_ranges
from edgeseg.training.quantization import QuantizationConfig
from edgeseg.training.recipe import (
    DataConfig,
    ModelConfig,
    OptimiserConfig,
    Recipe,
    ScheduleConfig,
    ValidationConfig,
    fine_tuning,
    read_recipe,
    with_schedule,
)
from edgeseg.training.trainer import Trainer
from edgeseg.types import Frame, Labels

HW = (32, 48)
NAME = "chain"
DIALECTS = ("cpu", "trt")
FACTOR = 400
"""So much larger is one channel than the others."""


class Chain(nn.Module):
    """Two convolutions with batch norm at stride 2, class scores, a transposed convolution; an auxiliary head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        )
        self.classifier = nn.Conv2d(8, num_classes, 1)
        self.upsample = transposed_upsample(num_classes, num_classes, stride=2)
        self.aux_classifier = nn.Conv2d(8, num_classes, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.backbone(images)
        outputs = {"out": self.upsample(self.classifier(features))}
        if self.training:
            outputs["aux"] = self.aux_classifier(features)
        return outputs


def build(spec: ModelSpec) -> nn.Module:
    return Chain(spec.num_classes)


@pytest.fixture(scope="module", autouse=True)
def _chain() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, NAME, "test_qat:build")
        patch.setattr("edgeseg.training.journal.draw_curves", lambda *_: None)
        yield


def stripes(seed: int) -> tuple[Frame, Labels]:
    """Three greys close together, with noise, in blocks of 8 × 8 pixels."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (HW[0] // 8, HW[1] // 8)), np.ones((8, 8))).astype(np.uint8)
    grey = 90 + 30.0 * labels[..., np.newaxis] + rng.normal(0, 4, (*HW, 3))
    return grey.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for index in range(8):
        frame, labels = stripes(index)
        save_frame(root / "greys/images" / f"{index}.png", frame)
        save_grey(root / "greys/masks" / f"{index}.png", labels)
    (root / "greys/labels.toml").write_text(FOLDER_TOML)
    return root


def float_recipe() -> Recipe:
    entry = ("folder", "greys", "all")
    return Recipe(
        name="greys",
        data=(DataConfig(*entry),),
        augment=AugmentConfig(crop_hw=HW, scale=(1.0, 1.0)),
        size_hw=HW,
        seed=2,
        model=ModelConfig(network=NAME),
        optimiser=OptimiserConfig(learning_rate=0.02, backbone_factor=1.0),
        schedule=ScheduleConfig(epochs=30, batch_size=4, warmup_iterations=2, workers=0, ema_decay=0.5),
        validation=ValidationConfig(*entry, every=40),
    )


def train(recipe: Recipe, data: Path, output: Path) -> Path:
    path = Trainer(recipe, data, output, say=lambda _: None, device="cpu", quantiser=QuantizationAware()).run()
    assert path is not None
    return path


@pytest.fixture(scope="module")
def uneven(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network, of which one channel is made `FACTOR` times larger, and read as many times smaller.

    In float nothing changes. In int8 the other channels are left with two or three steps of the tensor's one scale.
    """
    path = train(float_recipe(), data, tmp_path_factory.mktemp("float"))
    model = load_checkpoint(path)
    _, norm, _, second, *_ = model.network.get_submodule("backbone").children()
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(second, nn.Conv2d)
    with torch.no_grad():
        norm.weight[0] *= FACTOR
        norm.bias[0] *= FACTOR
        second.weight[:, 0] /= FACTOR
    save_checkpoint(path, model)
    return path


def fine_recipe(path: Path, **quantization: object) -> Recipe:
    fine = fine_tuning(float_recipe(), str(path))
    return with_schedule(
        replace(
            fine,
            optimiser=OptimiserConfig(learning_rate=0.01, backbone_factor=1.0),
            quantization=QuantizationConfig(**quantization),  # type: ignore[arg-type]
        ),
        epochs=60,
    )


@pytest.fixture(scope="module")
def fine(uneven: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(fine_recipe(uneven), data, tmp_path_factory.mktemp("fine"))


def frames() -> list[Frame]:
    return [stripes(index)[0] for index in range(8)]


def observed(exported: ExportedGraph, pictures: list[Frame]) -> RangeTable:
    return observe_ranges(exported.model, pictures, calibration_digest="greys")


def right(model: ModelProto) -> float:
    """Share of the pixels that a graph names as they are, over frames that training has not seen."""
    observe = Observer(model, [LABELS])
    return float(np.mean([(observe(frame)[LABELS] == truth).mean() for frame, truth in map(stripes, range(20, 30))]))


@lru_cache
def float_graph(path: Path) -> ExportedGraph:
    return export_graph(load_checkpoint(path), ExportConfig())


def int8(path: Path, dialect: str) -> tuple[ModelProto, ModelProto]:
    """FP32 and INT8 graph of a checkpoint, with the ranges that it was trained with, else with observed ones."""
    model, exported = load_checkpoint(path), float_graph(path)
    table = with_trained_ranges(observed(exported, frames()), model.lineage)
    method = TRAINED if TRAINED in table.ranges else "min-max"
    return exported.model, quantize(exported.model, table, dialect=dialect, method=method, fp16=False).model


def test_a_network_that_int8_breaks_is_mended(uneven: Path, fine: Path) -> None:
    whole, broken = (right(graph) for graph in int8(uneven, "cpu"))
    _, mended = (right(graph) for graph in int8(fine, "cpu"))
    assert whole > 0.95
    assert broken < 0.5
    assert mended > 0.8


def test_the_result_is_an_ordinary_checkpoint_with_its_ranges(uneven: Path, fine: Path) -> None:
    before, after = load_checkpoint(uneven), load_checkpoint(fine)
    assert before.network.state_dict().keys() == after.network.state_dict().keys()
    learned = after.lineage["quantization"]
    assert learned["dialect"] == "cpu"
    assert learned["batches"] == 60 * 2
    assert list(learned["ranges"]) == ["image", "relu", "relu_1"]
    assert after.lineage["recipe"]["quantization"] == {"dialect": "cpu", "range_batches": 500}
    # Statistics of batch normalisation are what the graph has folded: they stay.
    for name, value in before.network.named_buffers():
        assert torch.equal(value, after.network.get_buffer(name)), name
    # The auxiliary head takes no part.
    aux = "aux_classifier.weight"
    assert torch.equal(before.network.get_parameter(aux), after.network.get_parameter(aux))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_exported_graph_has_its_pairs_where_the_network_was_rounded(fine: Path, dialect: str) -> None:
    model = load_checkpoint(fine)
    QuantizationAware().prepare(model, QuantizationConfig(dialect), set())
    simulations = model.network.simulations
    assert isinstance(simulations, dict)
    assert_same_places(float_graph(fine), int8(fine, dialect)[1], simulations[HW], dialect)


def as_trained(exported: ExportedGraph, table: RangeTable, dialect: str) -> ModelProto:
    """INT8 with the ranges as if they were learned: what was trained with rounding keeps its normalised image."""
    learned = replace(table, ranges={TRAINED: table.ranges["min-max"]})
    return quantize(exported.model, learned, dialect=dialect, method=TRAINED, fp16=False).model


@pytest.mark.parametrize("dialect", DIALECTS)
def test_everything_that_a_network_can_have_is_rounded_where_its_graph_is(dialect: str) -> None:
    exported, table = difficult()
    graph = as_trained(exported, table, dialect)
    assert_same_places(exported, graph, Simulation(exported, place(exported.model, dialect)), dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_network_computes_what_its_int8_graph_does(dialect: str) -> None:
    exported, table = difficult()
    graph = as_trained(exported, table, dialect)
    frame = pictures()[0]
    rounded = Observer(graph, ["logits"])(frame)["logits"]
    exact = Observer(exported.model, ["logits"])(frame)["logits"]
    placement = place(exported.model, dialect)
    rounds = {"cpu": round_asymmetric, "trt": round_symmetric}[dialect]

    def activation(name: str, values: torch.Tensor) -> torch.Tensor:
        found = table.of(name, "min-max")
        return rounds(values, torch.tensor(found.low), torch.tensor(found.high))

    simulated = run(exported, Simulation(exported, placement), frame, activation, round_channels)
    assert np.abs(simulated - rounded).mean() < 0.1 * np.abs(exact - rounded).mean()


def test_without_rounding_it_is_the_network_itself_for_any_batch() -> None:
    exported, _ = difficult()
    simulation = Simulation(exported, place(exported.model, "cpu"))
    frame = pictures()[0]
    found = run(exported, simulation, frame, lambda _, values: values, lambda weights: weights)
    with torch.inference_mode():
        wanted = exported.sealed.logits(torch.from_numpy(frame)[None]).numpy()
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    both = np.stack([frame, frame[::-1, ::-1]])
    again = run(exported, simulation, both, lambda _, values: values, lambda weights: weights)
    assert np.abs(again[:1] - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert not np.allclose(again[1], again[0])


@pytest.mark.parametrize(("low", "high"), [(-1.5, 3.0), (0.0, 6.0), (-2.0, 0.0), (0.0, 0.0)])
def test_activations_are_rounded_as_the_dialects_write_it(low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(-4, 8, 4000).astype(np.float32)
    ends = torch.tensor(low), torch.tensor(high)
    pair = asymmetric(low, high)
    steps = np.clip(np.rint(values / pair.scale) + pair.zero_point.astype(np.int32), 0, 255)
    wanted = (steps - pair.zero_point.astype(np.int32)) * pair.scale
    # Where a value lies between two steps, the last bit of the scale decides.
    assert np.isclose(round_asymmetric(torch.from_numpy(values), *ends).numpy(), wanted, atol=1e-6).mean() > 0.999
    pair = symmetric(low, high)
    wanted = np.clip(np.rint(values / pair.scale), -128, 127) * pair.scale
    assert np.isclose(round_symmetric(torch.from_numpy(values), *ends).numpy(), wanted, atol=1e-6).mean() > 0.999


def test_the_gradient_is_one_within_the_range_and_zero_beyond() -> None:
    values = torch.tensor([-3.0, 0.4, 5.0], requires_grad=True)
    round_asymmetric(values, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(4, 2, 1), (3, 2, 1), (8, 4, 2), (5, 3, 3)])
def test_phases_of_a_transposed_convolution_are_those_of_the_graph(kernel: int, stride: int, groups: int) -> None:
    weight = torch.randn(6, 2, kernel, kernel, generator=torch.Generator().manual_seed(1))
    phases = phases_first(weight, groups, stride)
    assert torch.equal(phases_last(phases, groups, stride, weight.shape), weight)
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], group=groups, strides=[stride, stride], kernel_shape=[kernel, kernel]
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 6, 5, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.numpy(), "w")],
    )
    model = helper.make_model(graph)
    assert split_transposed_conv(model) == 1
    written = next(numpy_helper.to_array(each) for each in model.graph.initializer if each.name.startswith("w"))
    # The graph reads the taps in the other direction.
    np.testing.assert_array_equal(phases.flip(2, 3).numpy(), written)


def test_a_run_stopped_and_resumed_is_the_same_to_the_byte(uneven: Path, data: Path, tmp_path: Path) -> None:
    recipe = with_schedule(fine_recipe(uneven, range_batches=3), epochs=2)
    straight = train(recipe, data, tmp_path / "straight")
    asked = iter([False] * 3 + [True] * 9)
    told = {"say": lambda _: None, "device": "cpu", "quantiser": QuantizationAware()}
    assert Trainer(recipe, data, tmp_path / "stopped", **told).run(lambda: next(asked)) is None  # type: ignore[arg-type]
    again = Trainer(recipe, data, tmp_path / "stopped", **told)  # type: ignore[arg-type]
    again.resume()
    resumed = again.run()
    assert resumed is not None
    assert sha256_file(resumed) == sha256_file(straight)
    assert load_checkpoint(straight).lineage["quantization"]["batches"] == 3


def test_train_qat_fine_tunes_what_a_recipe_trained(
    uneven: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "greys.toml").write_text(
        f"""
        name = "greys"
        size_hw = [{HW[0]}, {HW[1]}]
        data = [{{ format = "folder", root = "greys", split = "all" }}]
        [augment]
        crop_hw = [{HW[0]}, {HW[1]}]
        [model]
        network = "{NAME}"
        [schedule]
        epochs = 20
        batch_size = 4
        workers = 0
        """
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "greys.toml", "--data", str(data), "--device", "cpu", "--epochs", "1"]
    assert main([*arguments, "--qat"]) == 2
    assert "--qat: no checkpoint runs/greys/greys.safetensors" in capsys.readouterr().err
    assert main([*arguments, "--start", str(uneven)]) == 2
    assert "--start is for --qat" in capsys.readouterr().err
    assert main([*arguments, "--qat", "--start", str(uneven)]) == 0
    model = load_checkpoint(Path("runs/greys-qat/greys-qat.safetensors"))
    assert model.lineage["quantization"]["batches"] == 2
    assert model.lineage["start_weights"]["sha256"] == sha256_file(uneven)


def test_fine_tuning_is_a_tenth_as_long_and_a_hundredth_as_fast() -> None:
    recipe = fine_tuning(float_recipe(), "x.safetensors")
    assert (recipe.name, recipe.model.pretrained) == ("greys-qat", "x.safetensors")
    assert recipe.schedule.epochs == 3
    assert recipe.optimiser.learning_rate == pytest.approx(2e-4)
    own = replace(recipe, name="own", quantization=QuantizationConfig("trt"))
    assert fine_tuning(own, "y.safetensors") == replace(own, model=replace(own.model, pretrained="y.safetensors"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("[quantization]", "fine-tunes a trained network"),
        ('[model]\npretrained = "imagenet"\n[quantization]', "fine-tunes a trained network"),
        ('[model]\npretrained = "a"\n[quantization]\ndialect = "gpu"', "dialect"),
        ('[model]\npretrained = "a"\n[quantization]\nrange_batches = 0', "range_batches"),
        ('[model]\npretrained = "a"\ncheckpoint_activations = true\n[quantization]', "exclude each other"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(wrong: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'name = "x"\nsize_hw = [32, 48]\ndata = [{ format = "folder", root = "a", split = "all" }]\n'
        f"augment = {{ crop_hw = [32, 48] }}\n{wrong}\n"
    )
    with pytest.raises(ConfigError, match=told):
        read_recipe(path)


def test_a_trainer_without_a_quantiser_says_so(uneven: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs Trainer"):
        Trainer(fine_recipe(uneven), data, tmp_path, say=lambda _: None, device="cpu")


def test_ranges_in_a_checkpoint_are_one_more_method(fine: Path) -> None:
    model = load_checkpoint(fine)
    table = observed(float_graph(fine), frames()[:1])
    assert with_trained_ranges(table, {}) is table
    extended = with_trained_ranges(table, model.lineage)
    learned = model.lineage["quantization"]["ranges"]["relu"]
    assert [extended.of("relu", TRAINED).low, extended.of("relu", TRAINED).high] == learned
    assert extended.of("logits", TRAINED) == table.of("logits")
    for broken in ({"ranges": {"relu": [1]}}, {"ranges": {"relu": [float("nan"), 1]}}, {"other": 1}, {"ranges": 3}):
        with pytest.raises(CheckpointError, match="cannot be used"):
            with_trained_ranges(table, {"quantization": broken})


def pictures() -> list[Frame]:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (4, 7, 10, 3), dtype=np.uint8)
    return [np.kron(each, np.ones((10, 10, 1), np.uint8))[:50, :70] for each in coarse]


@lru_cache
def difficult() -> tuple[ExportedGraph, RangeTable]:
    """A network with skips, a global pool, normalised sums, crops; and what its tensors span."""
    exported = export_graph(tiny_graph.tiny_model(), ExportConfig())
    return exported, observed(exported, pictures())


def run(
    exported: ExportedGraph,
    simulation: Simulation,
    frames_bgr: NDArray[np.uint8],
    activation: Callable[[str, torch.Tensor], torch.Tensor],
    weight: Callable[[torch.Tensor], torch.Tensor],
) -> NDArray[np.float32]:
    """One frame or several → logits, with the roundings given."""
    network = exported.sealed.network
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    hooks = Hooks(torch.device("cpu"), tensors.__getitem__, activation, weight, lambda _name, _values: None)
    whole = frames_bgr if frames_bgr.ndim == 4 else frames_bgr[None]
    with torch.no_grad():
        answer: NDArray[np.float32] = simulation(
            exported.sealed.preprocess(torch.from_numpy(whole.copy())), hooks
        ).numpy()
    return answer


def assert_same_places(exported: ExportedGraph, graph: ModelProto, simulation: Simulation, dialect: str) -> None:
    """The graph's Q nodes are where `simulation` rounds, and its int8 weights are those that it rounds."""
    # In the CPU dialect channels have another order, which adds tensors that only move values on.
    placement = place(channels_last(exported.model) if dialect == "cpu" else exported.model, dialect)
    quantised = {node.input[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    assert {placement.range_of(name).removesuffix(".by_phase") for name in quantised} == simulation.pairs
    int8 = {each.name for each in graph.graph.initializer if each.data_type == TensorProto.INT8 and each.dims}
    names = {name.removesuffix(".q").removeprefix("network.").removesuffix("_phases") for name in int8}
    assert {name for name in names if not name.endswith(".zero_point")} == simulation.weights


def test_an_export_tries_the_trained_ranges_first(
    fine: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edgeseg.quantize.judge.latencies_ms",
        lambda models, *_, **__: {precision: 1.0 if precision.startswith("int8") else 2.0 for precision in models},
    )
    model, exported = load_checkpoint(fine), float_graph(fine)
    config = Int8Config(
        Frames(tuple(frames())),
        open_dataset("folder", data / "greys", "all"),
        Budget(max_miou_drop=20, max_class_drop=30),
        methods=("min-max",),
        threads=1,
        lineage=model.lineage,
    )
    made = int8_within_budget(
        exported, {"fp32": exported.model}, config=config, label_map=model.label_map, report_stem=tmp_path / "x"
    )
    assert {entry["method"] for entry in made.record["graphs"].values()} == {TRAINED}
