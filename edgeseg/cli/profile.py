"""`edgeseg profile`: where a bundle's time goes, layer by layer, and how far each is from this machine's limit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, format_table, write_report

if TYPE_CHECKING:
    from edgeseg.bench.profile_run import Group, Layer, Profile

_HEADER = ["ms", "share", "MMAC", "MB", "of GEMM", "of copy", "of limit"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.types import ASKED_PRECISIONS

    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    parser.add_argument(
        "--precision", default="fp32", choices=ASKED_PRECISIONS, help="the bundle's graph to run (default: fp32)"
    )
    parser.add_argument("--frames", type=int, default=20, metavar="N", help="runs to measure (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: ONNX Runtime's own choice")
    parser.add_argument(
        "--layers", type=int, default=25, metavar="N", help="slowest layers to print; --json has all (default: 25)"
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Profile and print; returns 0."""
    from edgeseg.bench.profile_run import profile_bundle
    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path

    bundle = Bundle.open(bundle_path(args.bundle))
    profile = profile_bundle(bundle, precision=args.precision, threads=args.threads, frames=args.frames)
    print(format_profile(profile, args.layers))
    write_report(args, profile.to_dict())
    return 0


def format_profile(profile: Profile, most: int) -> str:
    """Heading, operators, and the slowest layers."""
    height, width = profile.frame_hw
    count = profile.threads
    threads = "its own choice of threads" if count is None else f"{count} thread{'s' * (count != 1)}"
    macs = sum(layer.macs for layer in profile.layers)
    peak = profile.peak
    heading = (
        f"{profile.bundle}: {profile.precision}, frames of {height}x{width}, ONNX Runtime on {threads}, "
        f"{profile.frames} runs\n"
        f"A frame {profile.run_ms:.1f} ms, {profile.kernels_ms:.1f} ms of it in {len(profile.layers)} kernels; "
        f"{macs / 1e6:.0f} million multiplications\n"
        f"Here at best: {peak.fp32_gmacs:.0f} GMAC/s in FP32, {peak.int8_gmacs:.0f} in INT8, a copy "
        f"{peak.copy_gbytes:.0f} GB/s. Each layer at that: {profile.limit_ms:.1f} ms; at its fastest: "
        f"{profile.fastest_ms:.1f} ms"
    )
    groups = [[f"{group.title} ({group.count})", *_figures(group)] for group in profile.groups()]
    slowest = sorted(profile.layers, key=lambda layer: layer.median_ms, reverse=True)[: max(most, 0)]
    layers = [
        [f"{layer.operator} {layer.name} {'x'.join(map(str, layer.shape))}", *_figures(layer)] for layer in slowest
    ]
    return "\n\n".join(
        [
            heading,
            format_table(["operator", *_HEADER], groups),
            *([format_table(["layer and its output", *_HEADER], layers)] if layers else []),
        ]
    )


def _figures(part: Layer | Group) -> list[str]:
    return [
        f"{part.median_ms:.2f}",
        f"{100 * part.share:.1f} %",
        f"{part.macs / 1e6:.1f}" if part.macs else "",
        f"{part.bytes / 1e6:.2f}" if part.bytes else "",
        f"{100 * part.of_gemm:.0f} %" if part.macs else "",
        f"{100 * part.of_copy:.0f} %" if part.bytes else "",
        f"{100 * part.of_limit:.0f} %",
    ]
