"""Roads and pedestrians on your camera: `python apps/camera_demo.py 0 road.edgeseg`.

SOURCE is a camera number, a video, an image, a folder or glob of images, or synthetic://drive?seed=7&scene=rain. No
bundle means the default model. The options are those of `edgeseg run`; this program shows what they are made of.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edgeseg import Bundle, Segmenter
from edgeseg.cli import run
from edgeseg.cli.defaults import bundle_path
from edgeseg.cli.runtime_options import say_degraded
from edgeseg.cli.stream_options import leave_if_hung, open_at_pace, stream_config
from edgeseg.errors import EdgesegError
from edgeseg.video.stream import segment_stream


def main(argv: Sequence[str] | None = None) -> int:
    """Segment until the source ends or q is pressed, and print the latencies. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Segment a camera or video in a window.")
    run.configure(parser)
    args = parser.parse_args(argv)
    try:
        config = stream_config(args, headless=args.headless)
        with open_at_pace(args) as source:
            bundle = Bundle.open(bundle_path(args.bundle))
            backend = args.backend or "onnxruntime"
            with Segmenter(bundle, precision=args.precision, backend=backend, threads=args.threads) as segmenter:
                say_degraded(segmenter)
                report = segment_stream(source, segmenter, config)
                code = run.finish(args, report, bundle.path, segmenter)
                leave_if_hung(report, code)
        return code
    except EdgesegError as error:
        print(f"camera_demo: error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
