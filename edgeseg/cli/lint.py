"""`edgeseg lint`: would TensorRT build a graph as it was checked, and what would fall back on a DLA?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, write_report

if TYPE_CHECKING:
    from edgeseg.bundle import Bundle
    from edgeseg.engine.lint import Finding, LintReport, Rule, Target

_NAMED = 3
"""Nodes that the table names of those with the same fault; the JSON names all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.types import ASKED_PRECISIONS

    parser.add_argument(
        "graph",
        nargs="?",
        type=Path,
        metavar="BUNDLE|FILE.onnx",
        help="folder of the bundle, or one graph; default: the default model's bundle",
    )
    parser.add_argument(
        "--for",
        dest="target",
        metavar="RELEASE",
        help="tensorrt-10.3, jetpack-6.2, …; default: the TensorRT that is installed here",
    )
    parser.add_argument("--precision", choices=ASKED_PRECISIONS, help="this graph alone; default: all for TensorRT")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="its [engine] names sizes for open shapes, and a DLA"
    )
    parser.add_argument("--dla", action="store_true", help="say what a DLA core of an Orin does not take")
    parser.add_argument("--rules", action="store_true", help="list the rules and leave")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print; a graph that would not build ends in `GateError`, after the table."""
    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.engine.lint import RULES, lint_bundle, lint_file
    from edgeseg.errors import ConfigError, InputError
    from edgeseg.types import graph_precision

    if args.rules:
        print(format_rules(RULES))
        return 0
    path = bundle_path(args.graph)
    if path.suffix == ".onnx":
        if args.precision is not None:
            raise ConfigError(f"--precision chooses a graph of a bundle; {path} is one graph.")
        if not path.is_file():  # before a missing TensorRT is named, which the user may not need
            raise InputError(f"{path}: there is no such file. Name a bundle's folder or an ONNX file.")
        target = _target(args, None)
        reports = [lint_file(path, target)]
    else:
        bundle = Bundle.open(path)
        precisions = None if args.precision is None else [graph_precision(args.precision, "tensorrt")]
        target = _target(args, bundle)
        reports = lint_bundle(bundle, target, precisions)
    print("\n\n".join(map(format_report, reports)))
    write_report(args, {"target": str(target), "graphs": [report.to_dict() for report in reports]})
    for report in reports:
        report.raise_if_failed()
    return 0


def _target(args: argparse.Namespace, bundle: Bundle | None) -> Target:
    """The release, and the build as `edgeseg engine build` would have it: of a bundle it knows sizes in any case."""
    from edgeseg.engine.lint import installed_target, parse_target
    from edgeseg.engine.recipe import EngineRecipe, read_recipe
    from edgeseg.engine.store import with_sizes

    recipe = EngineRecipe() if args.recipe is None else read_recipe(args.recipe)
    if bundle is not None:
        recipe = with_sizes(recipe, bundle.contract)
    if args.target is None:
        return installed_target(recipe, dla=args.dla)
    return parse_target(args.target, recipe, dla=args.dla)


def format_report(report: LintReport) -> str:
    """The verdict, and a block for each kind of fault: severity, rule, nodes, what was found, what to do."""
    verdict = "would NOT build" if report.errors else "nothing is known against building it"
    counts = f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')} in {report.nodes} nodes"
    title = f"{report.graph}, {report.target}: {verdict}; {counts}."
    return "\n".join((title, *(_block(findings) for findings in _alike(report.findings))))


def format_rules(rules: Sequence[Rule]) -> str:
    """Severity, name and reason of each rule."""
    return "\n".join(f"{rule.severity:<8} {rule.name:<29} {rule.reason}" for rule in rules)


def _count(findings: Sequence[Finding], what: str) -> str:
    return f"{len(findings)} {what}{'' if len(findings) == 1 else 's'}"


def _block(findings: Sequence[Finding]) -> str:
    first = findings[0]
    nodes = ", ".join(finding.node for finding in findings[:_NAMED])
    more = f" and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
    return f"  {first.severity:<8} {first.rule}: {nodes}{more}\n{'':11}{first.found}\n{'':11}{first.advice}"


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Grouped by rule, what was found and advice, in the order of their first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.found, finding.advice), []).append(finding)
    return list(groups.values())
