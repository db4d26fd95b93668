"""How every command is told which dataset, in which layout and under which classes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.data import SegmentationDataset


def add_dataset_options(
    parser: argparse._ActionsContainer, *, split: str | None, otherwise: str = "all of them"
) -> None:
    """Add `--format`, `--split` and `--mapping`; the help says what no split means: `otherwise`."""
    from edgeseg.data import FORMATS

    parser.add_argument("--format", choices=FORMATS, help="dataset layout; default: recognised from the folder")
    parser.add_argument("--split", default=split, help=f"split of the dataset (default: {split or otherwise})")
    parser.add_argument(
        "--mapping",
        metavar="NAME|FILE",
        help="give the dataset other classes: driving, road, camvid, voc, or a mapping file (see docs/datasets.md)",
    )


def add_fixed_camera_option(parser: argparse._ActionsContainer) -> None:
    """Add `--fixed-camera`; None where it is not given."""
    parser.add_argument(
        "--fixed-camera",
        action="store_true",
        default=None,
        help="the camera never moves: calibration frames may look like those that are measured on, not be the same",
    )


def format_of(args: argparse.Namespace) -> str:
    """The format that is named, else the one that the folder `args.data` is laid out in; raises `DataError`."""
    from edgeseg.data import detect_format

    return str(args.format or detect_format(args.data))


def open_named(args: argparse.Namespace) -> SegmentationDataset:
    """The dataset that `--data`, `--format`, `--split` and `--mapping` name."""
    from edgeseg.data import open_dataset

    return open_dataset(format_of(args), args.data, args.split, args.mapping)
