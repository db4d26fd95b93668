"""PyTorch → ONNX: one graph with the sealed contract, FP32, in one file, and the program it was translated from."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnx import ModelProto, NodeProto
from onnxscript import opset20 as op
from torch.export import Dim, ExportedProgram

from edgeseg.errors import ConfigError, UnavailableError
from edgeseg.graph.contract import (
    CHECKPOINT_PROPERTY,
    CLASSES_PROPERTY,
    CONFIDENCE,
    FRAME,
    IMAGE,
    LABELS,
    LOGITS,
    OPSET,
)
from edgeseg.graph.lint import check_sealed
from edgeseg.graph.passes.decide_before_shuffle import decide_before_shuffle
from edgeseg.graph.passes.fold_batch_norm import fold_batch_norm
from edgeseg.graph.passes.give_confidence import give_confidence
from edgeseg.graph.passes.mark_invalid import mark_invalid
from edgeseg.graph.passes.separate_channels import separate_channels
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.graph.recipe import MAX_SIDE, ExportConfig
from edgeseg.graph.rewrite import set_nodes
from edgeseg.models.sealed import Preprocess, SealedNetwork

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel

Pass = Callable[[ModelProto], int]
"""Changes a graph in place and returns how often it found its pattern."""

PASSES: Mapping[str, Pass] = {
    "fold_batch_norm": fold_batch_norm,
    "separate_channels": separate_channels,
    "split_transposed_conv": split_transposed_conv,
    "decide_before_shuffle": decide_before_shuffle,
    "mark_invalid": mark_invalid,
    "give_confidence": give_confidence,
}
"""What is rewritten after the translation, in this order, by name; the last only where `config.confidence` asks."""

_LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "decided-first": (),
    "sub-pixel": ("decide_before_shuffle",),
    "transposed": ("separate_channels", "split_transposed_conv", "decide_before_shuffle"),
}
"""`ExportConfig.transposed` → passes that do not take place."""

_SOURCE_LINES = "pkg.torch.onnx.stack_trace"
"""Node metadata that PyTorch adds: paths and lines of the exporting machine, which are nobody else's business."""


@dataclass(frozen=True)
class ExportedGraph:
    """An FP32 graph and where it comes from."""

    model: ModelProto
    sealed: SealedNetwork
    """The PyTorch module that the graph was made from."""
    program: ExportedProgram
    """What was translated: a tensor has the name of the program's node that computes it, unless renamed."""
    renamed: Mapping[str, str]
    """Name in the program → name in the graph."""
    rewrites: Mapping[str, int]
    """Pass → how often it found its pattern."""


def sealed_network(trained: TrainedModel, config: ExportConfig) -> SealedNetwork:
    """The trained network behind the sealed contract, in PyTorch, in evaluation mode."""
    network_hw = config.size_hw or trained.size_hw
    camera_hw = None if config.dynamic else config.camera_hw or network_hw
    return SealedNetwork(trained.network, Preprocess(network_hw, trained.mean, trained.std), camera_hw).eval()


def export_graph(trained: TrainedModel, config: ExportConfig, *, passes: Mapping[str, Pass] = PASSES) -> ExportedGraph:
    """Translate a trained model; the graph has passed onnx.checker, shape inference and the project's own lint.

    Fewer `passes` than all are for measuring what one of them does.
    Raises `ConfigError` where the network does not give one logit per class and pixel, `GateError` where the graph is
    not what it must be, `UnavailableError` where this PyTorch writes another opset than asked.
    """
    sealed = sealed_network(trained, config)
    height, width = sealed.camera_hw or sealed.preprocess.size_hw
    frame = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    with torch.inference_mode():
        classes = sealed.logits(frame).shape[1]
    if classes != len(trained.label_map):
        raise ConfigError(
            f"the network gives logits of {classes} classes, its label map names {len(trained.label_map)}; use its own."
        )
    # The camera's height and width may be anything, also the network's own.
    sizes = {1: Dim("height", min=2, max=MAX_SIDE), 2: Dim("width", min=2, max=MAX_SIDE)} if config.dynamic else None
    with _quiet():
        program = torch.export.export(sealed, (frame,), dynamic_shapes=(sizes,), strict=False)
        translated = torch.onnx.export(
            program,
            (),
            dynamo=True,
            input_names=[FRAME],
            output_names=[LABELS],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            custom_translation_table={torch.ops.aten._upsample_nearest_exact2d.vec: _nearest_exact},
        )
    # Neither is None after the dynamo exporter was given a program.
    assert translated is not None
    assert translated.exported_program is not None
    model: ModelProto = translated.model_proto
    written = {opset.domain: opset.version for opset in model.opset_import}
    if written.get("") != OPSET:
        raise UnavailableError(
            f"torch {torch.__version__} wrote opset {written.get('')} where {OPSET} was asked. "
            "Install another with: pip install 'edgeseg[train]'"
        )
    renamed = _name_the_seams(model)
    _cast_first(model)
    left_out = (*_LEFT_OUT[config.transposed], *(() if config.confidence else ("give_confidence",)))
    rewrites = {name: rewrite(model) for name, rewrite in passes.items() if name not in left_out}
    _describe(model, trained)
    check_sealed(model, dynamic=config.dynamic)
    return ExportedGraph(model, sealed, translated.exported_program, renamed, rewrites)


def rename_tensors(model: ModelProto, names: Mapping[str, str]) -> None:
    """Give tensors inside `model` other names, wherever they occur."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
    for value in model.graph.value_info:
        value.name = names.get(value.name, value.name)


def _name_the_seams(model: ModelProto) -> dict[str, str]:
    """Name the tensors where the network begins and ends, so that later stages find them without guessing."""
    normalised = [node for node in model.graph.node if "preprocess.std_grey" in node.input]
    decided = [node for node in model.graph.node if node.op_type == "ArgMax"]
    if len(normalised) != 1 or len(decided) != 1:
        raise ConfigError(
            f"the graph has {len(normalised)} normalisations and {len(decided)} ArgMax, expected one each: "
            "a network returns logits and leaves ArgMax to the seal."
        )
    renamed = {normalised[0].output[0]: IMAGE, decided[0].input[0]: LOGITS}
    rename_tensors(model, renamed)
    return renamed


def _cast_first(model: ModelProto) -> None:
    """Let everything read the frame after its Cast, also its size: TensorRT takes a uint8 tensor into a Cast only."""
    cast = next(node for node in model.graph.node if node.op_type == "Cast" and list(node.input) == [FRAME])
    others = [node for node in model.graph.node if node is not cast]
    for node in others:
        for index, name in enumerate(node.input):
            if name == FRAME:
                node.input[index] = cast.output[0]
    set_nodes(model.graph, (cast, *others))


def _describe(model: ModelProto, trained: TrainedModel) -> None:
    """What a person sees who opens the file alone, and nothing about the machine it was written on."""
    for node in model.graph.node:
        _remove_metadata(node, _SOURCE_LINES)
    # The exporter lists types of weights too; those say it themselves, or are gone.
    written = {name for node in model.graph.node for name in node.output}
    known = {value.name: value for value in model.graph.value_info if value.name in written}
    # It knows nothing of the tensors that the passes made.
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value in inferred.graph.value_info:
        if value.name in written:
            known.setdefault(value.name, value)
    described = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in known.values()]
    del model.graph.value_info[:]
    model.graph.value_info.extend(described)
    _name_open_sizes(model)
    model.graph.name = trained.spec.name
    model.graph.doc_string = f"{FRAME}: uint8 (1, H, W, 3) BGR. {LABELS}: uint8 (1, H, W) class ids."
    if len(model.graph.output) > 1:
        model.graph.doc_string += f" {CONFIDENCE}: uint8 (1, H, W), 255 times the probability of the class."
    onnx.helper.set_model_props(
        model, {CLASSES_PROPERTY: json.dumps(trained.label_map.names), CHECKPOINT_PROPERTY: trained.sha256}
    )


def _name_open_sizes(model: ModelProto) -> None:
    """Call an open height and width so; PyTorch numbers them."""
    graph = model.graph
    camera = graph.input[0].type.tensor_type.shape.dim
    names = {camera[1].dim_param: "height", camera[2].dim_param: "width"}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names.get(dimension.dim_param, dimension.dim_param)


def _remove_metadata(node: NodeProto, key: str) -> None:
    kept = [entry for entry in node.metadata_props if entry.key != key]
    del node.metadata_props[:]
    node.metadata_props.extend(kept)


def _nearest_exact(labels: Any, output_size: Sequence[Any], scale_factors: Any = None) -> Any:
    """Translation of `F.interpolate(mode="nearest-exact")`, which PyTorch would write as a GatherND with a table.

    Output pixel i takes input pixel floor((i + ½)·in/out); in ONNX's half-pixel coordinate x = (i + ½)·in/out − ½ that
    is x rounded, halves up.
    """
    del scale_factors  # sizes are always given
    if all(isinstance(side, int) for side in output_size):
        sizes = op.Constant(value_ints=[1, 1, *output_size])
    else:
        one = op.Constant(value_ints=[1])
        sizes = op.Concat(one, one, *[op.Reshape(side, one) for side in output_size], axis=0)
    return op.Resize(
        labels,
        None,
        None,
        sizes,
        mode="nearest",
        coordinate_transformation_mode="half_pixel",
        nearest_mode="round_prefer_ceil",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's deprecations and notes, which concern its developers, off the user's screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
