"""Two bundles on the same frames, side by side, and where they disagree.

    python apps/split_screen.py drive.mp4 old.edgeseg new.edgeseg --output both.mkv

Left the first, in the middle the second, right the camera in grey with red where their labels differ. Both must have
the same classes. Without --output it is shown in a window, in which q quits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from edgeseg import Bundle, Segmenter, open_source
from edgeseg.errors import ConfigError, EdgesegError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels
from edgeseg.video.controls import Controls
from edgeseg.video.overlay import Overlay
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink, VideoFileSink
from edgeseg.video.stopping import stop_on_signals
from edgeseg.video.window import open_window

_PANEL_PX = 640
"""Frames wider than this are made smaller: three stand side by side."""


def disagreement(frame_bgr: Frame, first: Labels, second: Labels) -> tuple[Frame, float]:
    """Frame BGR uint8 (H, W, 3) and two label maps → the grey frame with red where they differ, and that share."""
    differ = first != second
    grey = cv2.cvtColor(cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    picture = np.asarray(grey, np.uint8)
    picture[differ] = (40, 40, 230)
    return picture, float(differ.mean())


def side_by_side(pictures: Sequence[Frame]) -> Frame:
    """Pictures of one size next to each other, each at most `_PANEL_PX` wide."""
    height, width = pictures[0].shape[:2]
    scale = min(1.0, _PANEL_PX / width)
    size_wh = (round(width * scale), max(1, round(height * scale)))
    return np.hstack([np.asarray(cv2.resize(p, size_wh, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures])


def same_classes(first: LabelMap, second: LabelMap) -> LabelMap:
    """The classes of both; raises `ConfigError` where they are not the same."""
    if first.names != second.names:
        raise ConfigError(
            f"the bundles have different classes ({', '.join(first.names)}; {', '.join(second.names)}), "
            "so their labels cannot be compared. Give two of the same classes."
        )
    return first


def main(argv: Sequence[str] | None = None) -> int:
    """Segment every frame twice until the source ends, and print how much they disagree. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Two bundles side by side, with their disagreement.")
    parser.add_argument("source", help="as for edgeseg run")
    parser.add_argument("first", type=Path, help="folder of a bundle")
    parser.add_argument("second", type=Path, help="folder of another bundle with the same classes")
    parser.add_argument("--precision", default="fp32", help="graph of the first (default: %(default)s)")
    parser.add_argument("--second-precision", metavar="P", help="graph of the second; default: that of the first")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a video instead of opening a window")
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames")
    args = parser.parse_args(argv)
    try:
        shares = _run(args)
    except EdgesegError as error:
        print(f"split_screen: error: {error}", file=sys.stderr)
        return error.exit_code
    if shares:
        print(f"{len(shares)} frames: {np.mean(shares):.2%} of the pixels differ, at most {max(shares):.2%} in a frame")
    return 0


def _run(args: argparse.Namespace) -> list[float]:
    shares: list[float] = []
    with ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signals())
        source = stack.enter_context(open_source(args.source))
        if args.output is not None and args.output.resolve() in {path.resolve() for path in source.files}:
            raise ConfigError(f"--output {args.output} is the source itself. Name another file.")
        precisions = (args.precision, args.second_precision or args.precision)
        bundles = [Bundle.open(path) for path in (args.first, args.second)]
        label_map = same_classes(*(bundle.label_map for bundle in bundles))
        controls = Controls(label_map)
        pairs = zip(bundles, precisions, strict=True)
        both = [stack.enter_context(Segmenter(bundle, precision=precision)) for bundle, precision in pairs]
        sink: Sink = open_window(controls) if args.output is None else VideoFileSink(args.output, fps=source.fps)
        stack.enter_context(sink)
        overlay = Overlay(label_map)
        for record in source:
            results = [segmenter(record.frame_bgr) for segmenter in both]
            red, share = disagreement(record.frame_bgr, results[0].labels, results[1].labels)
            shares.append(share)
            cv2.rectangle(red, (0, 0), (250, 42), (0, 0, 0), cv2.FILLED)
            cv2.putText(red, f"differ {share:.2%}", (12, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
            names = [f"{args.first.stem} {precisions[0]}", f"{args.second.stem} {precisions[1]}"]
            painted = [
                overlay.paint(record.frame_bgr, one.labels, name, valid=one.valid)
                for one, name in zip(results, names, strict=True)
            ]
            sink.write(FrameResult(record, results[0], picture_bgr=side_by_side([*painted, red])))
            if stopped() or controls.stopped or len(shares) == args.max_frames:
                break
    return shares


if __name__ == "__main__":
    sys.exit(main())
