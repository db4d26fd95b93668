"""`edgeseg evaluate`: a model over a labelled dataset, as a table, JSON and pictures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, format_table, write_report

if TYPE_CHECKING:
    from edgeseg.metrics.confusion import EvaluationResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.data import FORMATS

    parser.add_argument(
        "model", nargs="?", type=Path, metavar="BUNDLE|CHECKPOINT", help="what to measure; default: the default model"
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="dataset folder, or a synthetic drive's settings")
    parser.add_argument("--format", choices=FORMATS, help="dataset layout; default: recognised from the folder")
    parser.add_argument("--split", default="test", help="split of the dataset (default: test)")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16"), help="the bundle's graph to run")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the runtime; default: its own choice")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N frames")
    parser.add_argument("--confusion", type=_png_path, metavar="PNG", help="write a picture of the confusion matrix")
    parser.add_argument(
        "--contact-sheet", type=_png_path, metavar="PNG", help="write image | truth | prediction | error"
    )
    parser.add_argument(
        "--record", action="store_true", help="keep the figures in the checkpoint; bundles made of it carry them"
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns 0."""
    from edgeseg.data import detect_format, open_dataset
    from edgeseg.errors import ConfigError
    from edgeseg.lazy import require
    from edgeseg.metrics.evaluate import evaluate
    from edgeseg.metrics.pictures import Gallery, save_confusion_picture, save_contact_sheet
    from edgeseg.runtime import load_segmenter

    if args.record and (args.model is None or args.model.suffix != ".safetensors" or args.limit is not None):
        raise ConfigError(
            "--record writes the figures of a whole split into a .safetensors file. Name one; no --limit."
        )
    if args.confusion is not None:
        require("matplotlib.figure", extra="train")  # now, not after minutes of segmenting
    dataset = open_dataset(args.format or detect_format(args.data), args.data, args.split)
    frames = len(dataset) if args.limit is None else min(args.limit, len(dataset))
    gallery = Gallery(frames)
    with load_segmenter(args.model, precision=args.precision, threads=args.threads) as segmenter:
        result = evaluate(
            dataset,
            lambda frame_bgr: segmenter(frame_bgr).labels,
            segmenter.label_map,
            limit=args.limit,
            progress=_show_progress if sys.stderr.isatty() else None,
            on_sample=gallery.add if args.contact_sheet else None,
        )
        resized = segmenter.host_resize

    model = "default model" if args.model is None else args.model.resolve().name
    title = f"{model} ({args.precision}) on {dataset.name}, {result.frames} frames"
    print(title, format_result(result), sep="\n\n")
    if resized:
        print("\nnote: frames had another size than the graph takes and were resized outside it, which costs accuracy.")
    write_report(
        args,
        {
            "model": model if args.model is None else str(args.model),
            "graph_precision": args.precision,
            "dataset": dataset.name,
            **result.to_dict(),
            "worst": [asdict(score) for score in result.worst],
            "host_resize": resized,
        },
    )
    if args.record:
        from edgeseg.models.checkpoint import record_accuracy

        kept = ("miou", "pixel_accuracy", "mean_accuracy", "iou", "frames")
        figures = result.to_dict()
        record_accuracy(args.model, {"dataset": dataset.name, **{key: figures[key] for key in kept}})
        print(f"recorded in {args.model}")
    if args.confusion is not None:
        save_confusion_picture(args.confusion, result, dataset.label_map, title)
        print(f"confusion matrix: {args.confusion}")
    if args.contact_sheet is not None:
        save_contact_sheet(args.contact_sheet, gallery.tiles(), dataset.label_map, title)
        print(f"contact sheet: {args.contact_sheet}")
    return 0


def format_result(result: EvaluationResult) -> str:
    """A line per class, the totals, and the worst frames, in percent."""
    truth = result.matrix.sum(axis=1)
    classes = [
        [name, *(_percent(figures[name]) for figures in (result.iou, result.precision, result.recall)), f"{pixels:,}"]
        for name, pixels in zip(result.iou, truth, strict=True)
    ]
    totals = (
        ("mIoU", result.miou),
        ("pixel accuracy", result.pixel_accuracy),
        ("mean accuracy", result.mean_accuracy),
    )
    worst = [[score.name, _percent(score.miou)] for score in result.worst]
    return "\n\n".join(
        (
            format_table(("class", "IoU %", "precision %", "recall %", "pixels"), classes),
            "\n".join(f"{name:<14}  {_percent(value):>6} %" for name, value in totals),
            format_table(("worst frames", "mIoU %"), worst),
        )
    )


def _png_path(text: str) -> Path:
    """Refused while parsing, before minutes of segmenting."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} is a PNG picture: end its name in .png")
    return path


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done}/{total} frames", end=end, file=sys.stderr, flush=True)
