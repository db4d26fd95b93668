"""`edgeseg benchmark`: how fast bundles are on this machine, side by side, and how sure that is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, format_table, write_report
from edgeseg.cli.stream_options import milliseconds

if TYPE_CHECKING:
    from edgeseg.bench.report import BenchmarkReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.types import ASKED_BACKENDS, ASKED_PRECISIONS

    parser.add_argument(
        "bundles",
        nargs="*",
        type=Path,
        metavar="BUNDLE",
        help="folders of bundles; the others are compared with the first; default: the default model's",
    )
    parser.add_argument(
        "--precision", type=_listed(ASKED_PRECISIONS), default=["fp32"], metavar="A,B", help="of each bundle: fp32,int8"
    )
    parser.add_argument(
        "--backend",
        type=_listed(ASKED_BACKENDS),
        default=["onnxruntime"],
        metavar="A,B",
        help=f"runtimes, of {', '.join(ASKED_BACKENDS)} (default: onnxruntime)",
    )
    parser.add_argument("--camera-size", metavar="HxW", help="size of the frames; default: what each graph takes")
    parser.add_argument("--end-to-end", action="store_true", help="also the camera loop, with overlay")
    parser.add_argument(
        "--camera-fps",
        type=float,
        metavar="N",
        help="its camera's rate; default: a new frame whenever the loop is free",
    )
    parser.add_argument(
        "--duration", type=float, default=3.0, metavar="S", help="seconds for each candidate (default: %(default)g)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the runtime; default: its own choice")
    parser.add_argument(
        "--starts",
        type=int,
        default=3,
        metavar="N",
        help="fresh processes for start-up and memory (default: %(default)s)",
    )
    parser.add_argument(
        "--fail-over",
        type=milliseconds,
        metavar="33ms",
        help="exit code 1 where the p95 of any candidate is above: of frame age with --end-to-end, else of frame to "
        "labels",
    )
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="an older --json of this machine")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with charts")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables as Markdown")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; a deadline that is missed ends in `GateError`, after the report."""
    import time
    from dataclasses import replace

    import numpy as np

    from edgeseg.bench.candidate import all_wanted
    from edgeseg.bench.compare import OldReport
    from edgeseg.bench.config import BenchConfig
    from edgeseg.bench.energy import EnergyMeter, counters_here
    from edgeseg.bench.machine import Machine
    from edgeseg.bench.markdown import to_markdown
    from edgeseg.bench.page import to_html
    from edgeseg.bench.run import Tools, run_benchmark
    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.doctor import machine_summary
    from edgeseg.files import write_text
    from edgeseg.graph.recipe import parse_size
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.telemetry import Sensors

    config = BenchConfig(
        duration_s=args.duration,
        camera_hw=None if args.camera_size is None else parse_size(args.camera_size),
        end_to_end=args.end_to_end,
        camera_fps=args.camera_fps,
        threads=args.threads,
        starts=args.starts,
    )
    machine = machine_summary()
    old = None if args.compare is None else OldReport.read(args.compare)
    if old is not None:
        old.require_same(machine, config)
    bundles = [Bundle.open(path) for path in args.bundles or [bundle_path(None)]]
    sensors, rng = Sensors(), np.random.default_rng(0)
    report = run_benchmark(
        all_wanted(bundles, args.precision, args.backend),
        lambda one: Segmenter(one.bundle, precision=one.precision, backend=one.backend, threads=config.threads),
        config,
        Tools(
            EnergyMeter(counters_here(sensors, time.perf_counter), time.perf_counter), Machine(sensors), rng, tell=_tell
        ),
        machine=machine,
        deadline_ms=args.fail_over,
    )
    if old is not None:
        report = replace(report, comparison=old.compare(report.candidates, rng))
    _tell("")
    print(format_report(report))
    write_report(args, report.to_dict())
    if args.markdown is not None:
        write_text(args.markdown, to_markdown(report))
    if args.html is not None:
        write_text(args.html, to_html(report))
    report.raise_if_failed()
    return 0


def format_report(report: BenchmarkReport) -> str:
    """All tables, the machine, what to heed and what was not measured."""
    from edgeseg.bench.tables import machine_line, remarks, tables

    parts: list[str] = [f"{machine_line(report)}."]
    for table in tables(report):
        parts += [f"{table.title}\n\n{format_table(table.header, table.rows)}", *([table.found] if table.found else [])]
    for heading, lines in remarks(report):
        parts.append("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]))
    return "\n\n".join(parts)


def _listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    """`type` of an option that takes names with commas between them."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


def _tell(line: str) -> None:
    """On the terminal, each line in the place of the one before; elsewhere nothing: it is no result."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
