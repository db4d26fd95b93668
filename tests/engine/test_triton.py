"""The model repository: config.pbtxt as Triton's message reads it, the very bytes of graphs and plans, or nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tiny_bundle import LABELS, tiny_bundle
from tiny_confidence import sure_bundle

from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.sidecar import Sidecar, recipe_record
from edgeseg.engine.store import EngineMismatch, engine_folders, plan_path, sidecar_path
from edgeseg.engine.triton import TritonModel, triton_models, write_repository
from edgeseg.errors import ConfigError, OutputError
from edgeseg.labels import LabelMap

# Triton's messages, as far as our files use them: names and numbers of protobuf/model_config.proto (triton/common).
_ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_UINT8": 2, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ModelInput": {"name": (1, "string"), "data_type": (2, "DataType"), "dims": (4, "int64*")},
    "ModelOutput": {"name": (1, "string"), "data_type": (2, "DataType"), "dims": (3, "int64*")},
    "ModelInstanceGroup": {"count": (2, "int32"), "kind": (4, "Kind")},
    "Cuda": {"graphs": (1, "bool"), "output_copy_stream": (4, "bool")},
    "ModelOptimizationPolicy": {"cuda": (3, "Cuda")},
    "ModelParameter": {"string_value": (1, "string")},
    "ModelConfig": {
        "name": (1, "string"),
        "platform": (2, "string"),
        "backend": (17, "string"),
        "max_batch_size": (4, "int32"),
        "input": (5, "ModelInput*"),
        "output": (6, "ModelOutput*"),
        "instance_group": (7, "ModelInstanceGroup*"),
        "default_model_filename": (8, "string"),
        "optimization": (12, "ModelOptimizationPolicy"),
        "parameters": (14, "map"),
    },
}


@lru_cache(maxsize=1)
def _config_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    scalars = {name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}") for name in
               ("string", "int32", "int64", "bool")}  # fmt: skip
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for label, number in values.items():
            enum.value.add(name=label, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if kind.endswith("*") or kind == "map" else field.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind == "map":
                entry = message.nested_type.add(name="ParametersEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
                value = entry.field.add(name="value", number=2, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL)
                value.type_name = ".inference.ModelParameter"
                field.type, field.type_name = field.TYPE_MESSAGE, f".inference.{name}.ParametersEntry"
            elif kind in scalars:
                field.type = scalars[kind]
            else:
                field.type = field.TYPE_ENUM if kind in _ENUMS else field.TYPE_MESSAGE
                field.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def parsed(model: TritonModel) -> Any:
    """The configuration as Triton reads it; a name or value that its message does not have raises."""
    return text_format.Parse(model.config, _config_class()())


def kind_of(config: Any) -> str:
    return next(name for name, number in _ENUMS["Kind"].items() if number == config.instance_group[0].kind)


def add_engine(bundle: Bundle, precision: str, *, size: tuple[int, int] = (24, 32), **recipe: Any) -> bytes:
    """A plan with its sidecar, as the store writes them."""
    plan = b"a plan of " + precision.encode()
    asked = EngineRecipe(precision=precision, **recipe)
    sidecar = Sidecar(
        precision=precision,
        onnx_sha256=bundle.manifest.files[bundle.graph_path(asked.graph).name],
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        tensorrt="10.3.0",
        gpu="Orin",
        compute_capability=(8, 7),
        multiprocessors=16,
        sizes=(asked.camera_min or size, asked.camera_opt or size, asked.camera_max or size),
        recipe=recipe_record(asked),
        steps=(),
        warnings=(),
        fallback=(),
        created="2026-11-20T10:00:00+00:00",
        seconds=12.5,
        edgeseg="0.1.0",
    )
    path = plan_path(engine_folders(bundle)[0], precision)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(plan)
    sidecar_path(path).write_bytes(sidecar.to_bytes())
    return plan


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    return tiny_bundle(tmp_path / "road.edgeseg", (24, 32), operators=dict.fromkeys(PRECISIONS, "ArgMax"))


PRECISIONS = ("fp32", "fp16", "int8-cpu", "int8-trt")


def test_graphs_become_models_of_onnx_runtime(bundle: Bundle) -> None:
    models = triton_models(bundle)
    assert [model.name for model in models] == ["tiny_fp32_onnx", "tiny_fp16_onnx", "tiny_int8_cpu_onnx"]
    for model, precision, kind in zip(models, PRECISIONS, ("KIND_AUTO", "KIND_AUTO", "KIND_CPU"), strict=False):
        config = parsed(model)
        assert (config.name, config.platform, config.backend) == (model.name, "onnxruntime_onnx", "onnxruntime")
        assert config.default_model_filename == model.file == "model.onnx"
        assert config.max_batch_size == 0
        assert kind_of(config) == kind
        (frame,), (labels,) = config.input, config.output
        assert (frame.name, frame.data_type, list(frame.dims)) == ("frame", 2, [1, 24, 32, 3])
        assert (labels.name, labels.data_type, list(labels.dims)) == ("labels", 2, [1, 24, 32])
        assert model.data == bundle.graph_bytes(precision)
        assert config.parameters["edgeseg.onnx_sha256"].string_value == hashlib.sha256(model.data).hexdigest()
        assert json.loads(config.parameters["edgeseg.classes"].string_value) == list(LABELS.names)
        assert not config.HasField("optimization")


def test_an_open_size_is_minus_one(tmp_path: Path) -> None:
    config = parsed(triton_models(tiny_bundle(tmp_path / "any.edgeseg"))[0])
    assert list(config.input[0].dims) == [1, -1, -1, 3]
    assert list(config.output[0].dims) == [1, -1, -1]


def test_graphs_that_give_their_confidence_have_two_outputs(tmp_path: Path) -> None:
    bundle = sure_bundle(tmp_path / "sure.edgeseg", (24, 32))
    add_engine(bundle, "fp32")
    for model in triton_models(bundle):
        outputs = [(output.name, output.data_type, list(output.dims)) for output in parsed(model).output]
        assert outputs == [("labels", 2, [1, 24, 32]), ("confidence", 2, [1, 24, 32])]


def test_engines_that_were_built_become_plans(bundle: Bundle) -> None:
    plans = {precision: add_engine(bundle, precision) for precision in ("fp16", "int8-trt")}
    models = {model.name: model for model in triton_models(bundle)}
    for precision, plan in plans.items():
        model = models[f"tiny_{precision.replace('-', '_')}_plan"]
        config = parsed(model)
        assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
        assert config.default_model_filename == model.file == "model.plan"
        assert kind_of(config) == "KIND_GPU"
        assert config.optimization.cuda.graphs
        assert config.optimization.cuda.output_copy_stream
        assert list(config.input[0].dims) == [1, 24, 32, 3]
        assert config.parameters["edgeseg.tensorrt"].string_value == "10.3.0"
        assert config.parameters["edgeseg.compute_capability"].string_value == "8.7"
        assert model.data == plan
        assert "TensorRT 10.3.0 on Orin (8.7)" in model.note
    assert len(models) == 5


def test_a_plan_for_several_sizes_has_no_cuda_graph(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "any.edgeseg")
    add_engine(bundle, "fp16", camera_min=(24, 32), camera_opt=(48, 64), camera_max=(96, 128))
    config = parsed(triton_models(bundle, ["fp16"])[1])
    assert not config.optimization.cuda.graphs
    assert list(config.input[0].dims) == [1, -1, -1, 3]


def test_a_version_compatible_plan_says_how_to_start_the_server(bundle: Bundle) -> None:
    add_engine(bundle, "fp16", version_compatible=True)
    assert "--backend-config=tensorrt,version-compatible=true" in triton_models(bundle, ["fp16"])[1].note


@pytest.mark.parametrize("damage", ["plan", "sidecar", "papers", "graph"])
def test_a_plan_that_is_not_as_it_was_built_is_refused(bundle: Bundle, tmp_path: Path, damage: str) -> None:
    add_engine(bundle, "fp16")
    path = plan_path(engine_folders(bundle)[0], "fp16")
    if damage == "plan":
        path.write_bytes(b"b plan of fp16")
    elif damage == "sidecar":
        text = sidecar_path(path).read_text(encoding="utf-8")
        sidecar_path(path).write_text(text.replace("Orin", "Thor"), encoding="utf-8")
    elif damage == "papers":
        sidecar_path(path).unlink()
    else:
        other = tiny_bundle(tmp_path / "other.edgeseg", (24, 32), operators={"fp16": "ArgMin"})
        (other.path / "engines").mkdir()
        for file in (path, sidecar_path(path)):
            (other.path / "engines" / file.name).write_bytes(file.read_bytes())
        bundle = other
    with pytest.raises(EngineMismatch):
        triton_models(bundle, ["fp16"])


def test_names_that_need_quotes(tmp_path: Path) -> None:
    names = LabelMap(('back"slash\\', "Straße\tweiß", "sky"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    bundle = tiny_bundle(tmp_path / "odd.edgeseg", (24, 32), label_map=names, operators={"fp32": "ArgMax"})
    model = triton_models(bundle)[0]
    assert json.loads(parsed(model).parameters["edgeseg.classes"].string_value) == list(names.names)


def test_a_name_that_is_no_folder_becomes_one(bundle: Bundle) -> None:
    for name, expected in (
        ("my road/2", "my_road_2_fp32_onnx"),
        ("../..", "model_fp32_onnx"),
        ("ß", "model_fp32_onnx"),
    ):
        renamed = Bundle(bundle.path, replace(bundle.manifest, name=name))
        assert triton_models(renamed, ["fp32"])[0].name == expected


def test_without_an_engine_there_is_nothing_to_serve_of_the_signed_graph(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="edgeseg engine build"):
        triton_models(bundle, ["int8-trt"])


def test_a_repository_is_written_whole_or_not_at_all(bundle: Bundle, tmp_path: Path) -> None:
    add_engine(bundle, "fp16")
    models = triton_models(bundle)
    folder = tmp_path / "models"
    paths = write_repository(models, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(model.name for model in models)
    for model, path in zip(models, paths, strict=True):
        assert (path / "1" / model.file).read_bytes() == model.data
        assert (path / "config.pbtxt").read_text(encoding="utf-8") == model.config
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="is there already"):
        write_repository(models, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_command_writes_it_of_a_bundle(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_engine(bundle, "fp16")
    report = tmp_path / "report.json"
    asked = ["export", "--bundle", str(bundle.path), "--triton", str(tmp_path / "models"), "--json", str(report)]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "tiny_fp16_plan (built with TensorRT 10.3.0 on Orin (8.7): the server needs the same)" in printed
    assert len(json.loads(report.read_text())["triton"]) == 4
    assert main(asked) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bundle", "road.edgeseg"], "--triton"),
        (["--bundle", "road.edgeseg", "--triton", "models", "--fp16"], "--fp16 is a setting of an export"),
        (["--bundle", "road.edgeseg", "--triton", "models", "--camera-size", "2x2"], "--camera-size is a setting"),
        (["--bundle", "absent.edgeseg", "--triton", "models"], "no such bundle"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *options]) == 2
    assert said in capsys.readouterr().err
