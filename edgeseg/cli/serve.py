"""`edgeseg serve`: the loop of `edgeseg run` without a window, watched and steered from a browser."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgeseg.cli.output import add_json_option
from edgeseg.cli.runtime_options import add_runtime_options, say_degraded
from edgeseg.cli.stream_options import add_stream_options

TOKEN_VARIABLE = "EDGESEG_TOKEN"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.epilog = "Files play at their own rate, and begin again at their end."
    parser.add_argument(
        "source", metavar="SOURCE", help="as for edgeseg run: a camera, video, folder, address or synthetic://drive"
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0: every one (default: %(default)s, this machine)",
    )
    parser.add_argument("--port", type=int, default=8080, help="0: any free one (default: %(default)s)")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE),
        help=f"what a browser must give; default: ${TOKEN_VARIABLE}, else a random one where --host is open to others",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this machine in addresses"
    )
    parser.add_argument(
        "--page-fps", type=float, default=15.0, metavar="N", help="most pictures a second (default: %(default)g)"
    )
    parser.add_argument(
        "--page-width", type=int, default=960, metavar="PIXELS", help="widest picture (default: %(default)s)"
    )
    add_stream_options(parser)
    add_runtime_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the source ends or a signal comes; returns as `edgeseg run` does."""
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.cli.run import finish
    from edgeseg.cli.stream_options import leave_if_hung, stream_config
    from edgeseg.lazy import require
    from edgeseg.runtime import load_segmenter
    from edgeseg.video.sources import open_source
    from edgeseg.video.sources.realtime import realtime
    from edgeseg.video.stream import segment_stream

    for module in ("starlette", "uvicorn"):
        require(module, extra="web")

    from edgeseg.web.hub import Hub
    from edgeseg.web.server import LivePage, ServeConfig
    from edgeseg.web.state import Subject
    from edgeseg.web.vitals import Vitals

    config = stream_config(args, headless=True)
    serve = ServeConfig(args.host, args.port, args.token, tuple(args.allow_host))
    with realtime(open_source(args.source), loop=True) as source:
        model = bundle_path(args.bundle)
        with load_segmenter(model, precision=args.precision, backend=args.backend, threads=args.threads) as segmenter:
            say_degraded(segmenter)
            label_map = segmenter.label_map
            controls, vitals = config.controls(label_map), Vitals(label_map.names)
            runtime = {"bundle": model.name, "backend": segmenter.backend, "precision": segmenter.precision}
            subject = Subject(source, label_map, controls, vitals, runtime, watches_camera=config.health)
            with Hub(vitals, fps=args.page_fps, width=args.page_width) as hub, LivePage(hub, subject, serve) as page:
                for address in page.addresses:
                    print(f"live page: {address}", flush=True)
                report = segment_stream(source, segmenter, config, extra_sinks=[hub], controls=controls)
            code = finish(args, report, model, segmenter)
            leave_if_hung(report, code)
    return code
