"""`edgeseg predict`: photos in, pictures of their classes out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, write_report
from edgeseg.cli.runtime_options import add_runtime_options, say_degraded

if TYPE_CHECKING:
    from edgeseg.video.photos import Photo

_LISTED = 0.001
"""Least share of the pixels with which a class is printed; `--json` has them all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="IMAGE", help="JPEG or PNG files")
    parser.add_argument(
        "--model",
        metavar="NAME|CHECKPOINT|BUNDLE",
        help="a network (with --weights), a checkpoint or a bundle; default: the default model",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE|pretrained",
        help="weights of the network named; pretrained: torchvision's, fetched once",
    )
    parser.add_argument("--size", metavar="HxW", help="size at which the network runs; default: that of its training")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for the pictures; default: beside each photo"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.45, help="weight of the colours, 0 to 1 (default: %(default)s)"
    )
    parser.add_argument(
        "--confidence",
        action="store_true",
        help="also a picture of how sure the model is, white for certain",
    )
    add_runtime_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Segment, write and print; returns 0. A photo that cannot be read ends in `DataError`, after the others."""
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.graph.recipe import parse_size
    from edgeseg.runtime.named import open_model
    from edgeseg.video.photos import segment_photos, squeeze_note

    size_hw = None if args.size is None else parse_size(args.size)
    model = open_model(
        args.model,
        args.weights,
        default=lambda: bundle_path(None),
        size_hw=size_hw,
        precision=args.precision,
        backend=args.backend,
        threads=args.threads,
    )

    def tell(photo: Photo) -> None:
        print(format_photo(photo))
        note = squeeze_note(photo, model.network_hw, sealed=model.sealed)
        if note is not None:
            print(note)

    with model.segmenter as segmenter:
        say_degraded(segmenter)
        report = segment_photos(
            args.photos,
            segmenter,
            folder=args.output,
            alpha=args.alpha,
            confidence=args.confidence,
            on_photo=tell,
        )
    write_report(
        args,
        {
            "model": model.name,
            "precision": model.segmenter.precision,
            **model.segmenter.runtime_dict(),
            "network_hw": list(model.network_hw),
            **report.to_dict(),
        },
    )
    report.raise_if_failed()
    return 0


def format_photo(photo: Photo) -> str:
    """What is in a photo, in per cent, and where its pictures are."""
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in photo.shares.items() if share >= _LISTED)
    pictures = (photo.overlay, photo.labels, *(() if photo.confidence is None else (photo.confidence,)))
    return "\n  ".join((f"{photo.path}: {shares}", *map(str, pictures)))
