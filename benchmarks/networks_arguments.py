"""What the benchmarks of several networks are asked on the command line."""

from __future__ import annotations

import argparse

from edgeseg.models.registry import NETWORKS


def networks_parser(description: str | None, otherwise: str) -> argparse.ArgumentParser:
    """A parser of NETWORK names (`otherwise`: which without any), `--size` and `--threads`."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"default: {otherwise}")
    parser.add_argument("--size", default="360x480", metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def parse_networks(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; ends the program for a network that does not exist."""
    args = parser.parse_args()
    unknown = sorted(set(args.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"unknown network {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    return args
