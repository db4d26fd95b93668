"""`edgeseg evaluate`: a model over a labelled dataset or a clip, as tables, JSON and pictures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.dataset_options import add_dataset_options, open_named
from edgeseg.cli.output import add_json_option, format_table, png_path, write_report
from edgeseg.cli.runtime_options import add_runtime_options, say_degraded

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeseg.metrics.base import Metric, Scored, Table
    from edgeseg.metrics.confusion import EvaluationResult
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.types import Frame, Labels


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.metrics.registry import ALL, METRICS

    parser.add_argument(
        "model", nargs="?", type=Path, metavar="BUNDLE|CHECKPOINT", help="what to measure; default: the default model"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", metavar="DIR", help="dataset folder, or a synthetic drive's settings")
    what.add_argument("--video", metavar="SOURCE", help="a clip without truth: measures how much its labels flicker")
    add_dataset_options(parser, split="test")
    add_runtime_options(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N frames")
    parser.add_argument(
        "--scales", type=_scales, default=(1.0,), metavar="A,B", help="a checkpoint at 0.75,1,1.25, say, averaged"
    )
    parser.add_argument("--flip", action="store_true", help="a checkpoint: average with the mirror image's answer")
    parser.add_argument(
        "--metrics", metavar="A,B", help=f"more than the confusion matrix: {', '.join(METRICS)}, or {ALL}"
    )
    parser.add_argument("--object-class", metavar="NAME", help="class of the metric objects; default: the pedestrian")
    parser.add_argument("--confusion", type=png_path, metavar="PNG", help="write a picture of the confusion matrix")
    parser.add_argument(
        "--contact-sheet", type=png_path, metavar="PNG", help="write image | truth | prediction | error"
    )
    parser.add_argument(
        "--record", action="store_true", help="keep the figures in the checkpoint; bundles made of it carry them"
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns 0."""
    _check(args)
    return _run_video(args) if args.video is not None else _run_dataset(args)


def _check(args: argparse.Namespace) -> None:
    """What can be refused before minutes of segmenting."""
    from edgeseg.errors import ConfigError
    from edgeseg.lazy import require
    from edgeseg.metrics.registry import ALL

    if args.record and (args.model is None or args.model.suffix != ".safetensors" or args.limit is not None):
        raise ConfigError(
            "--record writes the figures of a whole split into a .safetensors file. Name one; no --limit."
        )
    if args.record and (args.scales != (1.0,) or args.flip):
        raise ConfigError("--record keeps what an exported model reaches, which has one scale. No --scales, no --flip.")
    if args.object_class is not None and not {"objects", ALL} & set((args.metrics or "").replace(" ", "").split(",")):
        raise ConfigError("--object-class is a setting of the metric objects. Ask for it with --metrics objects.")
    if args.video is not None:
        given = {"--record": args.record, "--confusion": args.confusion, "--contact-sheet": args.contact_sheet}
        useless = next((name for name, value in {**given, "--metrics": args.metrics}.items() if value), None)
        if useless is not None:
            raise ConfigError(f"{useless} needs a truth, which --video has not. Give --data DIR instead of --video.")
    if args.confusion is not None:
        require("matplotlib.figure", extra="train")


def _run_dataset(args: argparse.Namespace) -> int:
    from edgeseg.metrics.base import MetricConfig
    from edgeseg.metrics.evaluate import evaluate, require_same_classes
    from edgeseg.metrics.pictures import Gallery, save_confusion_picture, save_contact_sheet
    from edgeseg.metrics.registry import OpenedMetrics, open_metrics
    from edgeseg.runtime import load_segmenter

    dataset = open_named(args)
    frames = len(dataset) if args.limit is None else min(args.limit, len(dataset))
    gallery = Gallery(frames)
    looks = {"scales": args.scales, "flip": args.flip}
    with load_segmenter(
        args.model, precision=args.precision, backend=args.backend, threads=args.threads, **looks
    ) as segmenter:
        say_degraded(segmenter)
        require_same_classes(segmenter.label_map, dataset)
        config = MetricConfig(object_class=args.object_class)
        opened = (
            OpenedMetrics({}, {}) if args.metrics is None else open_metrics(args.metrics, dataset.label_map, config)
        )
        result = evaluate(
            dataset,
            _segment(args, segmenter, opened.metrics),
            segmenter.label_map,
            limit=args.limit,
            metrics=opened.metrics.values(),
            progress=_show_progress if sys.stderr.isatty() else None,
            on_sample=gallery.add if args.contact_sheet else None,
        )
        resized, precision, runtime = segmenter.host_resize, segmenter.precision, segmenter.runtime_dict()

    title = f"{_model_name(args)} ({precision}{_looks(args)}) on {dataset.name}, {result.frames} frames"
    more = {name: metric.result() for name, metric in opened.metrics.items()}
    print(title, format_result(result), *(format_metric(found.table()) for found in more.values()), sep="\n\n")
    for name, reason in opened.left_out.items():
        print(f"\nnote: {name} was left out: {reason}")
    if resized:
        print("\nnote: frames had another size than the graph takes and were resized outside it, which costs accuracy.")
    write_report(
        args,
        {
            "model": _model_name(args) if args.model is None else str(args.model),
            "graph_precision": precision,
            **runtime,
            **looks,
            "dataset": dataset.name,
            **result.to_dict(),
            "worst": [asdict(score) for score in result.worst],
            "host_resize": resized,
            "metrics": {name: found.to_dict() for name, found in more.items()},
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


def _run_video(args: argparse.Namespace) -> int:
    from edgeseg.metrics.evaluate import measure_flicker
    from edgeseg.runtime import load_segmenter
    from edgeseg.video.sources import open_source

    with (
        open_source(args.video) as source,
        load_segmenter(
            args.model,
            precision=args.precision,
            backend=args.backend,
            threads=args.threads,
            scales=args.scales,
            flip=args.flip,
        ) as segmenter,
    ):
        say_degraded(segmenter)
        frames = (record.frame_bgr for record in source)
        result = measure_flicker(
            frames, lambda frame_bgr: segmenter(frame_bgr).checked(), segmenter.label_map, limit=args.limit
        )
        notes, precision, runtime = source.notes, segmenter.precision, segmenter.runtime_dict()
    title = f"{_model_name(args)} ({precision}{_looks(args)}) on {args.video}, {result.frames} frames"
    print(title, format_metric(result.table()), *notes, sep="\n\n")
    write_report(
        args,
        {
            "model": _model_name(args) if args.model is None else str(args.model),
            "graph_precision": precision,
            **runtime,
            "video": args.video,
            "frames": result.frames,
            "metrics": {"flicker": result.to_dict()},
        },
    )
    return 0


def _segment(
    args: argparse.Namespace, segmenter: Segmenter, metrics: dict[str, Metric]
) -> Callable[[Frame], Labels | Scored]:
    """The model as a function; a checkpoint gives scores too, where a metric uses them."""
    if segmenter.backend == "torch" and any(metric.uses_scores for metric in metrics.values()):
        from edgeseg.metrics.scored import ScoredModel

        return ScoredModel(args.model, args.scales, flip=args.flip)
    return lambda frame_bgr: segmenter(frame_bgr).checked()


def _model_name(args: argparse.Namespace) -> str:
    return "default model" if args.model is None else str(args.model.resolve().name)


def _looks(args: argparse.Namespace) -> str:
    """Scales and flip for a title; nothing where there is one scale."""
    scales = "" if args.scales == (1.0,) else f", scales {', '.join(f'{scale:g}' for scale in args.scales)}"
    return f"{scales}{', flip' if args.flip else ''}"


def format_metric(table: Table) -> str:
    """Title, table, notes."""
    return "\n".join(
        (table.title, "", format_table(table.header, table.rows), *(["", *table.notes] if table.notes else []))
    )


def format_result(result: EvaluationResult) -> str:
    """A line per class, the totals, and the worst frames, in percent."""
    truth = result.matrix.sum(axis=1)
    classes = [
        [
            name,
            *(_percent(figures[name]) for figures in (result.iou, result.precision, result.recall, result.f1)),
            f"{pixels:,}",
        ]
        for name, pixels in zip(result.iou, truth, strict=True)
    ]
    totals = (
        ("mIoU", result.miou),
        ("pixel accuracy", result.pixel_accuracy),
        ("mean accuracy", result.mean_accuracy),
        ("mean precision", result.mean_precision),
        ("mean F1", result.mean_f1),
        ("frequency-weighted IoU", result.frequency_weighted_iou),
    )
    worst = [[score.name, _percent(score.miou)] for score in result.worst]
    return "\n\n".join(
        (
            format_table(("class", "IoU %", "precision %", "recall %", "F1 %", "pixels"), classes),
            "\n".join(f"{name:<22}  {_percent(value):>6} %" for name, value in totals),
            format_table(("worst frames", "mIoU %"), worst),
        )
    )


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected numbers with commas between, such as 0.75,1,1.25"
        ) from None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done}/{total} frames", end=end, file=sys.stderr, flush=True)
