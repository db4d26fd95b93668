"""Options of every command that runs the loop: what is shown, what is written, and how fast."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.video.sources import Source
    from edgeseg.video.stats import RunReport
    from edgeseg.video.stream import StreamConfig

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|)")


def milliseconds(text: str) -> float:
    """`type` of an option that takes a duration: "33ms", "33" and "0.033s" are all 33.0."""
    match = _DURATION.fullmatch(text.strip())
    value = float(match[1]) * (1e3 if match[2] == "s" else 1) if match else 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above zero; write one like 33ms or 0.033s")
    return value


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add all but the source, the bundle and its runtime, and whether there is a window."""
    from edgeseg.video.overlay import MODES

    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the painted pictures to a video, such as out.mkv"
    )
    parser.add_argument("--save-labels", type=Path, metavar="DIR", help="write each frame's class ids to DIR/NAME.png")
    parser.add_argument(
        "--json-lines", type=Path, metavar="FILE", help="write a line of JSON for each frame: shares, events, latency"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.45, help="weight of the colours, 0 to 1 (default: %(default)s)"
    )
    parser.add_argument("--classes", metavar="A,B", help="draw these classes only, such as road,pedestrian")
    parser.add_argument("--overlay", default="blend", choices=MODES, help="how to draw (default: %(default)s)")
    parser.add_argument(
        "--smooth", action="store_true", help="labels that flicker less; needs a bundle with confidence, as the next"
    )
    parser.add_argument(
        "--unknown-below",
        type=float,
        metavar="P",
        help="no class where the model's confidence is below P, such as 0.5",
    )
    parser.add_argument("--birds-eye", type=Path, metavar="FILE", help="distances by the homography in a JSON file")
    parser.add_argument("--no-health", action="store_true", help="do not watch the camera for faults")
    parser.add_argument(
        "--deadline", type=milliseconds, metavar="33ms", help="count the frames that are older when they are shown"
    )
    parser.add_argument(
        "--in-flight", type=int, default=1, metavar="N", help="frames that may wait between two stages (default: 1)"
    )


def add_pace_options(parser: argparse.ArgumentParser) -> None:
    """Add how fast a file is played, and how long a camera is waited for."""
    parser.add_argument(
        "--realtime", action="store_true", help="play a file at its own rate, as a camera would: the newest frame wins"
    )
    parser.add_argument("--loop", action="store_true", help="with --realtime: begin again at the end of the file")
    parser.add_argument(
        "--give-up", type=float, metavar="S", help="end when a live source was lost for S seconds (default: never)"
    )


def open_at_pace(args: argparse.Namespace) -> Source:
    """Open `args.source`, to be played as `--realtime` and `--loop` say."""
    from edgeseg.errors import ConfigError
    from edgeseg.video.sources import LiveConfig, open_source
    from edgeseg.video.sources.realtime import realtime

    if args.loop and not args.realtime:
        raise ConfigError("--loop: a file without end has to be played at its own rate. Add --realtime.")
    source = open_source(args.source, live=LiveConfig(give_up_after_s=args.give_up))
    return realtime(source, loop=args.loop) if args.realtime else source


def stream_config(args: argparse.Namespace, *, headless: bool) -> StreamConfig:
    """The settings in `args`. That no window can be opened is said here, before the model is loaded."""
    from edgeseg.video.opencv import opencv_build, require_window
    from edgeseg.video.stream import StreamConfig

    if not headless:
        require_window(opencv_build())
    return StreamConfig(
        headless=headless,
        max_frames=args.max_frames,
        output=args.output,
        save_labels=args.save_labels,
        json_lines=args.json_lines,
        alpha=args.alpha,
        classes=None if args.classes is None else tuple(name.strip() for name in args.classes.split(",")),
        mode=args.overlay,
        smooth=args.smooth,
        unknown_below=args.unknown_below,
        birds_eye=args.birds_eye,
        health=not args.no_health,
        deadline_ms=args.deadline,
        in_flight=args.in_flight,
    )


def leave_if_hung(report: RunReport, code: int) -> None:
    """End the process here, with the exit code `code`, where the source or the model hangs in a library.

    To close either would wait for it, or crash. The files are finished: the sinks have been closed before.
    """
    if report.left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
