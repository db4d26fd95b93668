"""`edgeseg verify`: are a bundle's files as exported, and does this machine compute the same labels?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, format_table, write_report
from edgeseg.cli.runtime_options import add_runtime_options

if TYPE_CHECKING:
    from edgeseg.runtime.verify import VerifyReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    add_runtime_options(parser, precision=None)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Verify and print; a gate that fails ends in `GateError`, after the table."""
    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.engine.examine import examine_engines
    from edgeseg.runtime.chain import degraded_note
    from edgeseg.runtime.verify import verify_bundle

    bundle = Bundle.open(bundle_path(args.bundle))
    manifest = bundle.manifest
    print(
        f"{bundle.path}: {bundle.name}, written {manifest.created} by edgeseg {manifest.edgeseg}; "
        f"{len(manifest.files)} files match their sha256."
    )
    engines = examine_engines(bundle)
    for path, finding in engines.items():
        print(f"{path} {finding}.")
    report = verify_bundle(
        bundle,
        None if args.precision is None else [args.precision],
        backend=args.backend or "onnxruntime",
        threads=args.threads,
    )
    used = ", ".join(dict.fromkeys(graph.backend for graph in report.graphs))
    print(f"\nGolden frames on {used}:\n\n{format_report(report)}")
    for note in dict.fromkeys(degraded_note(graph.backend, graph.fallbacks) for graph in report.graphs):
        if note is not None:
            print(f"edgeseg: note: {note}", file=sys.stderr)
    write_report(args, {**report.to_dict(), "engines": engines})
    report.raise_if_failed()
    return 0


def format_report(report: VerifyReport) -> str:
    """A table with a line for each graph and golden frame."""
    rows = [
        [
            f"{graph.precision}  {frame.name}",
            f"{100 * frame.agreement:.4f} %",
            f"{frame.differing}",
            f"{frame.may_differ}",
            f"{frame.latency_ms:.1f} ms",
            "ok" if frame.passed else "FAILED",
        ]
        for graph in report.graphs
        for frame in graph.frames
    ]
    return format_table(["graph and frame", "agreement", "pixels differ", "may differ", "latency", ""], rows)
