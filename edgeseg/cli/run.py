"""`edgeseg run`: segment a camera, video, folder or the synthetic drive, and measure how long it takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, format_table, write_report
from edgeseg.cli.runtime_options import add_runtime_options, say_degraded
from edgeseg.cli.stream_options import add_pace_options, add_stream_options, leave_if_hung, open_at_pace, stream_config

if TYPE_CHECKING:
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.video.stats import RunReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.video.window import KEYS

    parser.epilog = f"Keys in the window: {KEYS}."
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="camera number or /dev/video0; csi://0; rtsp://… or http://…; gst://PIPELINE; video; image, folder or "
        "glob; synthetic://drive?seed=7&scene=rain",
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    parser.add_argument("--headless", action="store_true", help="no window")
    add_stream_options(parser)
    add_pace_options(parser)
    add_runtime_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run and print; returns 0, or 130 after a signal, when files and report are whole too."""
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.runtime import load_segmenter
    from edgeseg.video.stream import segment_stream

    config = stream_config(args, headless=args.headless)
    with open_at_pace(args) as source:
        model = bundle_path(args.bundle)
        with load_segmenter(model, precision=args.precision, backend=args.backend, threads=args.threads) as segmenter:
            say_degraded(segmenter)
            report = segment_stream(source, segmenter, config)
            code = finish(args, report, model, segmenter)
            leave_if_hung(report, code)
    return code


def finish(args: argparse.Namespace, report: RunReport, model: Path, segmenter: Segmenter) -> int:
    """Print the report and write it where `--json` says. Returns the exit code, or raises what broke the source."""
    from edgeseg.cli.main import INTERRUPTED
    from edgeseg.doctor import machine_summary
    from edgeseg.video.stats import Ended

    print(format_report(report))
    made_by = {"bundle": str(model), "precision": segmenter.precision, **segmenter.runtime_dict()}
    write_report(args, {**report.to_dict(), **made_by, "machine": machine_summary()})
    report.raise_if_failed()
    return INTERRUPTED if report.ended is Ended.SIGNAL else 0


def format_report(report: RunReport) -> str:
    """The table of stages, and below it the frames and what there is to note."""
    rows = [
        [
            "frame age" if stage == "total" else stage,
            *(f"{value:.1f} ms" for value in (times.p50, times.p95, times.p99)),
        ]
        for stage, times in report.stages.items()
    ]
    invalid = f", {report.invalid} invalid" if report.invalid else ""
    lines = [
        f"{report.frames} {'frame' if report.frames == 1 else 'frames'} in {report.elapsed_s:.1f} s: "
        f"{report.fps:.1f} frames/s, "
        f"{report.dropped} dropped, {report.failed} failed{invalid} ({report.ended.value})"
    ]
    if report.deadline is not None:
        deadline, share = report.deadline, report.deadline.share_of(report.frames)
        lines.append(f"deadline of {deadline.milliseconds:g} ms: missed by {deadline.misses} frames, {share:.1%}")
    if report.camera_faults:
        faults = ", ".join(f"{name} at {count} frames" for name, count in report.camera_faults.items())
        lines.append(f"camera faults: {faults}")
    if report.left_behind:
        lines.append(f"did not come back, and was left behind: {', '.join(report.left_behind)}")
    return "\n".join([format_table(["stage", "p50", "p95", "p99"], rows), "", *lines, *report.notes])
