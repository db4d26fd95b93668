"""All rules over a graph, a file or a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.bundle import Bundle
from edgeseg.engine.lint import dla, operators, quantization, shapes, types
from edgeseg.engine.lint.finding import ERROR, GRAPH, WARNING, Fault, Finding, LintReport, Rule
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import GraphView
from edgeseg.engine.versions import FLOOR, KNOWN_BAD
from edgeseg.errors import ConfigError, InputError
from edgeseg.lazy import require

if TYPE_CHECKING:
    from onnx import ModelProto

NOT_FOR_TENSORRT = ("int8-cpu",)
"""Graphs of a bundle in the dialect of ONNX Runtime on CPUs."""


def _known_bad(_view: GraphView, target: Target) -> Iterator[Fault]:
    for (major, minor, patch), reason in KNOWN_BAD.items():
        version = target.version
        if (version.major, version.minor) == (major, minor) and version.patch in (None, patch):
            yield Fault(GRAPH, f"TensorRT {major}.{minor}.{patch}: {reason}", "Take another release.")


def _weakly_typed(_view: GraphView, target: Target) -> Iterator[Fault]:
    if (target.version.major, target.version.minor) < (FLOOR.major, FLOOR.minor):
        found = f"{target}, which has no strongly typed networks"
        yield Fault(GRAPH, found, "It may compute in other precisions than those that were checked: verify the engine.")


def _valid(view: GraphView, _target: Target) -> Iterator[Fault]:
    import onnx

    try:
        onnx.checker.check_model(view.model)
    except onnx.checker.ValidationError as error:
        yield Fault(GRAPH, f"not valid ONNX: {' '.join(str(error).split())}", "Export it again.")


RULES: tuple[Rule, ...] = (
    Rule("known-bad-release", ERROR, "some releases build engines that compute something else", _known_bad),
    Rule("weakly-typed-release", WARNING, "before 10.0 TensorRT chooses precisions itself", _weakly_typed),
    Rule("valid-onnx", ERROR, "the parser reads what ONNX defines", _valid),
    *operators.RULES,
    *types.RULES,
    *quantization.RULES,
    *shapes.RULES,
    *dla.RULES,
)
"""Every rule, in the order in which findings of one severity are reported."""


def lint_model(model: ModelProto, target: Target, name: str) -> LintReport:
    """What every rule says of a model; `name` is what the report calls it."""
    view = GraphView(model, _inferred(model))
    faults = ((rule, fault) for rule in RULES for fault in rule.check(view, target))
    findings = [Finding(rule.name, rule.severity, *fault) for rule, fault in faults]
    findings.sort(key=lambda finding: finding.severity != ERROR)
    return LintReport(name, str(target), tuple(findings), len(view.nodes))


def lint_bytes(data: bytes, target: Target, name: str) -> LintReport:
    """What every rule says of a serialised model; `InputError` if it is none, `UnavailableError` without onnx."""
    onnx = require("onnx", extra="tensorrt")

    try:
        model: ModelProto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's and onnx's own; whatever it is, these bytes are no model
        raise InputError(f"{name} cannot be read as ONNX ({' '.join(str(error).split())}).") from error
    if not model.graph.node:
        raise InputError(f"{name} cannot be read as ONNX: it has no graph.")
    return lint_model(model, target, name)


def lint_file(path: Path, target: Target) -> LintReport:
    """What every rule says of an ONNX file; raises `InputError` if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return lint_bytes(data, target, path.name)


def lint_bundle(bundle: Bundle, target: Target, precisions: Iterable[str] | None = None) -> list[LintReport]:
    """A report for each of these graphs, or for all that are meant for TensorRT.

    Raises `ConfigError` for a graph in the CPU's dialect, `BundleError` for one that the bundle does not have.
    """
    wanted = [name for name in bundle.precisions if name not in NOT_FOR_TENSORRT] if precisions is None else precisions
    reports = []
    for precision in wanted:
        if precision in NOT_FOR_TENSORRT:
            raise ConfigError(f"the {precision} graph is for ONNX Runtime; TensorRT takes int8-trt.")
        reports.append(lint_bytes(bundle.graph_bytes(precision), target, f"the {precision} graph"))
    return reports


def _inferred(model: ModelProto) -> ModelProto:
    """With the shapes and types that ONNX can infer; as it is where it can infer none, which `valid-onnx` explains."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return model
