"""`edgeseg data inspect`, `convert`, `formats`: what a dataset holds, the same in a common layout, what is known."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.dataset_options import add_dataset_options, format_of
from edgeseg.cli.output import add_json_option, format_table, png_path, write_report

if TYPE_CHECKING:
    from edgeseg.data.inspect import Inspection, SplitReport
    from edgeseg.data.sheet import Row

_SHEET_ROWS = 4
"""Samples of a split that a contact sheet shows, evenly spread."""
_CLASSES_SHOWN = 30
"""Of more classes than these only those that occur have a line."""
_SIZES_SHOWN = 5
_PROBLEMS_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    summary = "recognise a dataset; count, measure and check its samples"
    inspect = verbs.add_parser("inspect", help=summary, description=summary.capitalize() + ".")
    inspect.add_argument("data", metavar="PATH", help="folder or annotation file of the dataset")
    add_dataset_options(inspect, split=None)
    inspect.add_argument("--limit", type=int, metavar="N", help="only N samples of each split, evenly spread")
    inspect.add_argument("--contact-sheet", type=png_path, metavar="PNG", help="draw some samples, image | labels")
    add_json_option(inspect)
    inspect.set_defaults(verb_run=_inspect)
    summary = "write a dataset as PASCAL VOC layout or as a plain folder"
    convert = verbs.add_parser("convert", help=summary, description=summary + ".")
    convert.add_argument("data", metavar="SOURCE", help="folder or annotation file of the dataset")
    convert.add_argument("destination", type=Path, metavar="DESTINATION", help="new folder")
    convert.add_argument("--to", required=True, choices=("voc", "folder"), help="layout to write")
    add_dataset_options(convert, split=None)
    convert.set_defaults(verb_run=_convert)
    summary = "list the formats and how a folder of each is recognised"
    verbs.add_parser("formats", help=summary, description=summary + ".").set_defaults(verb_run=_formats)


def run(args: argparse.Namespace) -> int:
    """Run the verb; returns 1 where `inspect` found errors, else 0."""
    return int(args.verb_run(args))


def _inspect(args: argparse.Namespace) -> int:
    import numpy as np

    from edgeseg.data.base import Sample
    from edgeseg.data.inspect import inspect_dataset
    from edgeseg.data.sheet import Row, class_panel, draw_sheet, save_picture
    from edgeseg.labels import LabelMap

    rows: list[Row] = []
    drawn: set[int] = set()

    def on_sample(split: str, position: int, count: int, sample: Sample, label_map: LabelMap) -> None:
        _show_progress(position + 1, count, split)
        kept = min(_SHEET_ROWS, count)
        if args.contact_sheet and any(position == (2 * part + 1) * count // (2 * kept) for part in range(kept)):
            height, width = sample.labels.shape
            caption = f"{split}   {sample.name}   {width} x {height}"
            rows.append(Row((sample.image_bgr, class_panel(sample.labels, label_map)), caption))
            drawn.update(np.unique(sample.labels).tolist())

    report = inspect_dataset(
        args.data, format_of(args), split=args.split, mapping=args.mapping, limit=args.limit, on_sample=on_sample
    )
    print(format_inspection(report))
    write_report(args, report.to_dict())
    if args.contact_sheet is not None and report.label_map is not None:
        title = f"{report.format}: {args.data}"
        many = len(report.label_map) > _CLASSES_SHOWN
        classes = drawn if many else None
        sheet = draw_sheet(rows, ("image", "labels"), title, report.label_map, classes=classes)
        save_picture(args.contact_sheet, sheet)
        print(f"contact sheet: {args.contact_sheet}")
    return 1 if report.errors else 0


def _convert(args: argparse.Namespace) -> int:
    from edgeseg.data.convert import JPEG_QUALITY, convert_dataset

    result = convert_dataset(
        args.data,
        format_of(args),
        args.destination,
        args.to,
        split=args.split,
        mapping=args.mapping,
        progress=lambda done, total: _show_progress(done, total, "written"),
    )
    lists = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    print(f"{result.path}: {result.samples} samples; lists: {lists}")
    if encoded := result.samples - result.copied:
        how = f"JPEG of quality {JPEG_QUALITY}" if args.to == "voc" else "PNG"
        print(f"{result.copied} images copied as they were, {encoded} encoded as {how}")
    for name, wanted in result.renamed.items():
        print(f"{wanted} was taken and is now {name}")
    return 0


def _formats(args: argparse.Namespace) -> int:  # noqa: ARG001 (verbs are called alike)
    from edgeseg.data import FORMATS, dataset_format

    for name in FORMATS:
        print(f"{name:<16}  {dataset_format(name).signs}")
    return 0


def format_inspection(report: Inspection) -> str:
    """Splits, classes, sizes and problems, as tables."""
    parts = [f"{report.root}: {report.format}"]
    rows = [
        [split.name, str(split.samples), f"= {' + '.join(split.joined)}" if split.joined else str(split.read)]
        for split in report.splits
    ]
    if rows:
        parts.append(format_table(("split", "samples", "read"), rows))
    read = [split for split in report.splits if not split.joined]
    if report.label_map is not None and read:
        ids = {**{name: index for index, name in enumerate(report.label_map.names)}, "void": report.label_map.void}
        if len(ids) > _CLASSES_SHOWN:
            ids = {name: index for name, index in ids.items() if any(split.images[index] for split in read)}
        header = ["% of pixels (images)", *(split.name for split in read)]
        classes = [[name, *(_share(split, index) for split in read)] for name, index in ids.items()]
        parts.append(format_table(header, classes))
        parts.append("\n".join(f"sizes of {split.name}: {_sizes(split)}" for split in read))
    parts.append(_problems(report))
    return "\n\n".join(parts)


def _share(split: SplitReport, index: int) -> str:
    total = int(split.pixels.sum())
    return f"{100 * split.pixels[index] / total:.2f} ({split.images[index]})" if split.images[index] else "-"


def _sizes(split: SplitReport) -> str:
    common = split.sizes_hw.most_common()
    shown = [f"{width} x {height} ({count})" for (height, width), count in common[:_SIZES_SHOWN]]
    if len(common) > _SIZES_SHOWN:
        heights, widths = zip(*split.sizes_hw, strict=True)
        ranges = f"{min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high"
        shown.append(f"{len(common) - _SIZES_SHOWN} more; all are {ranges}")
    return ", ".join(shown) or "none read"


def _problems(report: Inspection) -> str:
    if not report.counts:
        return "no problem found"
    lines = [
        ": ".join(filter(None, ("error" if problem.is_error else "warning", problem.kind, problem.split, problem.text)))
        for problem in sorted(report.problems, key=lambda problem: not problem.is_error)
    ]
    shown = lines[:_PROBLEMS_SHOWN]
    if (hidden := report.counts.total() - len(shown)) > 0:
        shown.append(f"and {hidden} more (--json FILE keeps 100 of each kind)")
    summary = ", ".join(f"{kind} {count}" for kind, count in report.counts.items())
    return "\n".join([f"problems: {summary}", *shown])


def _show_progress(done: int, total: int, what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
