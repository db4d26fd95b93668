"""`edgeseg selftest`: does this machine compute what the bundle promises, how fast, and in which form fastest?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    parser.add_argument("--gpu", action="store_true", help="build TensorRT engines and test those; default: the CPU")
    parser.add_argument("--device", type=int, default=0, metavar="N", help="which GPU, as CUDA counts (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="time each graph for half a second, not three; a third of the suite"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of ONNX Runtime; default: its own choice")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("edgeseg-selftest"),
        metavar="STEM",
        help="where the report goes: STEM.json and STEM.md, to attach to an issue (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Test, write the report and print it; a check that failed ends in `GateError`, after the report."""
    # Asked first: without a driver, one line is the whole answer.
    from edgeseg.engine.selftest.kits import CpuKit, GpuKit, Kit

    kit: Kit = GpuKit.here(args.device) if args.gpu else CpuKit(args.threads)

    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.doctor import machine_summary
    from edgeseg.engine.selftest.run import SelftestConfig, run_selftest
    from edgeseg.files import write_json, write_text
    from edgeseg.runtime.session import check_threads

    check_threads(args.threads)
    report = run_selftest(
        Bundle.open(bundle_path(args.bundle)),
        kit,
        SelftestConfig.quick() if args.quick else SelftestConfig(),
        machine=machine_summary(),
        tell=lambda line: print(f"edgeseg: {line}", file=sys.stderr),
    )
    write_json(args.output.with_name(f"{args.output.name}.json"), report.to_dict())
    write_text(args.output.with_name(f"{args.output.name}.md"), report.to_markdown())
    print(report.to_markdown())
    print(f"written: {args.output}.json, {args.output}.md")
    report.raise_if_failed()
    return 0
