"""A recorded drive becomes one page: `python apps/dashcam_report.py drive.mp4 road.edgeseg --output drive.html`.

What happened when, with pictures: somebody on the road ahead, faults of the camera, shares of the classes, latency. The
page needs nothing but itself and can be mailed. No bundle means the default model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeseg import Bundle, Segmenter, open_source
from edgeseg.cli.defaults import bundle_path
from edgeseg.errors import ConfigError, EdgesegError
from edgeseg.video.drive_log import DriveLog
from edgeseg.video.drive_report import write_drive_report
from edgeseg.video.stream import StreamConfig, segment_stream


def main(argv: Sequence[str] | None = None) -> int:
    """Segment the drive and write the page. Returns the exit code."""
    parser = argparse.ArgumentParser(description="One HTML page about a recorded drive.")
    parser.add_argument("source", help="video, folder or glob of images, or synthetic://drive?seed=7&frames=300")
    parser.add_argument("bundle", nargs="?", type=Path, help="folder of the bundle; default: the default model's")
    parser.add_argument("--output", type=Path, default=Path("drive.html"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--title", help="heading of the page; default: its name")
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument("--birds-eye", type=Path, metavar="FILE", help="homography, for distances in the pictures")
    parser.add_argument("--precision", default="fp32", help="graph of the bundle (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        config = StreamConfig(headless=True, max_frames=args.max_frames, birds_eye=args.birds_eye)
        with open_source(args.source) as source:
            if args.output.resolve() in {path.resolve() for path in source.files}:
                raise ConfigError(f"--output {args.output} is the source itself. Name another file.")
            log = DriveLog(None if source.live else source.fps)
            with Segmenter(Bundle.open(bundle_path(args.bundle)), precision=args.precision) as segmenter:
                report = segment_stream(source, segmenter, config, extra_sinks=[log])
        write_drive_report(
            args.output, log, report, segmenter.label_map, args.title or f"Drive: {Path(source.uri).name}"
        )
        print(f"{args.output}: {report.frames} frames, {len(log.incidents)} incidents")
        report.raise_if_failed()
    except EdgesegError as error:
        print(f"dashcam_report: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
