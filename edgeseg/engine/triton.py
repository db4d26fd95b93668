"""A model repository for Triton Inference Server, from a bundle: ONNX graphs, and the plans that were built of them.

    DIR/road_fp16_onnx/config.pbtxt     platform onnxruntime_onnx
    DIR/road_fp16_onnx/1/model.onnx
    DIR/road_fp16_plan/config.pbtxt     platform tensorrt_plan; only where an engine was built
    DIR/road_fp16_plan/1/model.plan

A frame is one picture, so `max_batch_size` is 0 and the leading 1 of the contract is part of the shape. Fields and
their meaning: `protobuf/model_config.proto` of github.com/triton-inference-server/common. No server has run it yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from edgeseg.bundle import Bundle
from edgeseg.engine.examine import read_engine
from edgeseg.engine.store import StoredEngine, engine_folders, plan_path
from edgeseg.errors import ConfigError, OutputError
from edgeseg.files import atomic_folder
from edgeseg.types import PRECISIONS, TensorSpec

NOT_FOR_ONNX = ("int8-trt",)
"""Graphs that ONNX Runtime computes otherwise once it optimises them, and Triton cannot tell it not to."""

_TYPES = {"uint8": "TYPE_UINT8"}
"""Of the sealed contract; numpy's name → that of Triton's DataType."""

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
VERSION = "1"
"""Name of the folder with the model: Triton serves the highest number."""


@dataclass(frozen=True, slots=True)
class TritonModel:
    """One model of the repository."""

    name: str
    """Also its folder's."""
    file: str
    """Name of the model's file in the version's folder."""
    data: bytes
    config: str
    """Content of config.pbtxt."""
    note: str = ""
    """What whoever serves it must know."""


def triton_models(bundle: Bundle, precisions: Iterable[str] | None = None) -> list[TritonModel]:
    """The bundle's graphs, and the engines that were built of them, as models of a repository; nothing is written.

    `precisions`: these alone. Raises `ConfigError` where nothing would be left, `EngineMismatch` for a plan that is
    there and does not belong to this bundle.
    """
    wanted = tuple(bundle.precisions if precisions is None else precisions)
    models = []
    for precision in wanted:
        if precision not in NOT_FOR_ONNX:
            models.append(_onnx_model(bundle, precision))
        engine = stored_plan(bundle, precision)
        if engine is not None:
            models.append(_plan_model(bundle, precision, engine))
    if not models:
        raise ConfigError(
            f"{bundle.path} has nothing to serve in {', '.join(wanted)}: ONNX Runtime does not take "
            f"{', '.join(NOT_FOR_ONNX)}, and no engine was built. Build one: edgeseg engine build"
        )
    return models


def require_free(folder: Path, name: str) -> None:
    """Raise `OutputError` if a model of a bundle of this name is in the folder already; asked before a long export."""
    for precision, backend in product(PRECISIONS, ("onnx", "plan")):
        _require_new(folder / _name(name, precision, backend))


def write_repository(models: Sequence[TritonModel], folder: Path) -> list[Path]:
    """Write each model to a folder of its name in `folder`, whole or not at all; returns their paths.

    Raises `OutputError` before anything is written if one is there already: a server may be serving it.
    """
    paths = [folder / model.name for model in models]
    for path in paths:
        _require_new(path)
    for model, path in zip(models, paths, strict=True):
        with atomic_folder(path) as unfinished:
            (unfinished / VERSION).mkdir()
            (unfinished / VERSION / model.file).write_bytes(model.data)
            (unfinished / "config.pbtxt").write_text(model.config, encoding="utf-8")
    return paths


def stored_plan(bundle: Bundle, precision: str) -> StoredEngine | None:
    """The plan of this precision, checked against its sidecar and the bundle's graph; `None` where none was built.

    Whether it fits the server is not checked: that may run in a container with another TensorRT.
    """
    for folder in engine_folders(bundle):
        path = plan_path(folder, precision)
        if path.is_file():
            return read_engine(bundle, path)
    return None


def _onnx_model(bundle: Bundle, precision: str) -> TritonModel:
    name = _name(bundle.name, precision, "onnx")
    # INT8 for CPUs has unsigned activations, whose fused kernels are the CPU's; the others run where there is a GPU.
    kind = "KIND_CPU" if precision == "int8-cpu" else "KIND_AUTO"
    config = _config(bundle, name, "onnxruntime_onnx", "onnxruntime", "model.onnx", kind, optimization="")
    return TritonModel(name, "model.onnx", bundle.graph_bytes(precision), config + _parameters(bundle, precision))


def _plan_model(bundle: Bundle, precision: str, engine: StoredEngine) -> TritonModel:
    name = _name(bundle.name, precision, "plan")
    built = engine.sidecar
    capability = "{}.{}".format(*built.compute_capability)
    # A CUDA graph is captured for one size; with several, Triton would have to be told each.
    graphs = "true" if len(set(built.sizes)) == 1 else "false"
    optimization = f"optimization {{\n  cuda {{\n    graphs: {graphs}\n    output_copy_stream: true\n  }}\n}}\n"
    config = _config(bundle, name, "tensorrt_plan", "tensorrt", "model.plan", "KIND_GPU", optimization)
    parameters = _parameters(
        bundle,
        precision,
        **{
            "edgeseg.tensorrt": built.tensorrt,
            "edgeseg.gpu": built.gpu,
            "edgeseg.compute_capability": capability,
            "edgeseg.plan_sha256": built.plan_sha256,
        },
    )
    note = f"built with TensorRT {built.tensorrt} on {built.gpu} ({capability}): the server needs the same"
    if built.recipe.get("version_compatible"):
        note = (
            f"built on {built.gpu} ({capability}), for TensorRT {built.tensorrt} and later of its major: "
            "start the server with --backend-config=tensorrt,version-compatible=true"
        )
    return TritonModel(name, "model.plan", engine.plan, config + parameters, note)


def _require_new(path: Path) -> None:
    if path.exists():
        raise OutputError(f"{path}: is there already. Remove it, or choose another folder.")


def _name(bundle: str, precision: str, backend: str) -> str:
    stem = _NOT_IN_A_NAME.sub("_", bundle).strip("._") or "model"
    return f"{stem}_{precision.replace('-', '_')}_{backend}"


def _config(bundle: Bundle, name: str, platform: str, backend: str, file: str, kind: str, optimization: str) -> str:
    contract = bundle.contract
    return (
        f"name: {_quoted(name)}\n"
        f"platform: {_quoted(platform)}\n"
        f"backend: {_quoted(backend)}\n"
        f"default_model_filename: {_quoted(file)}\n"
        "max_batch_size: 0\n"
        f"input [\n{_tensors(contract.frame)}]\n"
        f"output [\n{_tensors(contract.labels, contract.confidence)}]\n"
        f"instance_group [\n  {{\n    count: 1\n    kind: {kind}\n  }}\n]\n"
        f"{optimization}"
    )


def _tensors(*specs: TensorSpec | None) -> str:
    return ",\n".join(_tensor(spec) for spec in specs if spec is not None) + "\n"


def _tensor(spec: TensorSpec) -> str:
    dims = ", ".join("-1" if size is None else str(size) for size in spec.shape)
    kind = _TYPES[spec.dtype]
    return f"  {{\n    name: {_quoted(spec.name)}\n    data_type: {kind}\n    dims: [ {dims} ]\n  }}"


def _parameters(bundle: Bundle, precision: str, **more: str) -> str:
    """What a client can ask the server about the model: classes, palette, and which graph this is."""
    label_map = bundle.label_map
    values = {
        "edgeseg.classes": json.dumps(list(label_map.names), ensure_ascii=False),
        "edgeseg.palette_rgb": json.dumps([list(colour) for colour in label_map.palette]),
        "edgeseg.precision": precision,
        "edgeseg.onnx_sha256": bundle.manifest.files[bundle.graph_path(precision).name],
        **more,
    }
    return "".join(
        f"parameters {{\n  key: {_quoted(key)}\n  value {{ string_value: {_quoted(value)} }}\n}}\n"
        for key, value in values.items()
    )


def _quoted(text: str) -> str:
    """A string of protobuf's text format: UTF-8 with backslash, quote and control characters escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\{ord(found.group()):03o}", escaped) + '"'
