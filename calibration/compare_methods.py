"""Every way of choosing ranges × models: what INT8 costs, in mIoU and by class, in both dialects, into README.md.

    python calibration/compare_methods.py --data DIR [--frames 64] [--every 1] [NAME=CHECKPOINT.safetensors ...]

DIR holds camvid/. Models are checkpoints, as `edgeseg train RECIPE` leaves them; how each was trained is read from it.
Ranges are observed on frames chosen from CamVid's train split; what is measured is its val split, by the very INT8
graphs that a bundle would get, in ONNX Runtime. Without names: the model that ships with the package. Figures are kept
in results/methods.json beside this file, so that models can be measured one by one. README.md is made of it: first all
models by all methods, then each of them class by class.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # the helpers that all measured pages share

from markdown_page import table, write_between_marks  # noqa: E402

from edgeseg.data import Sample, SegmentationDataset, open_dataset  # noqa: E402
from edgeseg.files import write_json  # noqa: E402
from edgeseg.graph.export import export_graph  # noqa: E402
from edgeseg.graph.recipe import ExportConfig  # noqa: E402
from edgeseg.labels import LabelMap  # noqa: E402
from edgeseg.models.checkpoint import load_checkpoint  # noqa: E402
from edgeseg.quantize.calibration_set import choose_frames  # noqa: E402
from edgeseg.quantize.dialects import DIALECTS, quantize  # noqa: E402
from edgeseg.quantize.frame_source import FrameSource  # noqa: E402
from edgeseg.quantize.placement import CPU  # noqa: E402
from edgeseg.quantize.ranges import METHODS, observe_ranges  # noqa: E402
from edgeseg.quantize.scoring import score  # noqa: E402
from edgeseg.quantize.trained_ranges import TRAINED, with_trained_ranges  # noqa: E402

PAGE = ROOT / "calibration" / "README.md"
RESULTS = ROOT / "calibration" / "results" / "methods.json"
DEFAULT = "default"


class EveryNth:
    """A dataset of every n-th sample of another one."""

    def __init__(self, dataset: SegmentationDataset, step: int) -> None:
        self._dataset = dataset
        self._step = step
        self.name: str = dataset.name
        self.label_map: LabelMap = dataset.label_map

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._step)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[index * self._step]


def main() -> int:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", metavar="NAME=CHECKPOINT", help="default: the shipped model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds camvid/")
    parser.add_argument("--frames", type=int, default=64, help="calibration frames")
    parser.add_argument("--every", type=int, default=1, help="measure on every so-many-th frame of val")
    args = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for given in args.models or [DEFAULT]:
        name, _, path = given.partition("=")
        kept[name] = measure(Path(path) if path else None, args.data / "camvid", args.frames, args.every)
        RESULTS.parent.mkdir(exist_ok=True)
        write_json(RESULTS, kept)
        sections = [overview(kept), *(section(each, found) for each, found in kept.items())]
        write_between_marks(PAGE, "\n\n".join(sections))
    return 0


def measure(checkpoint: Path | None, camvid: Path, frames: int, every: int) -> dict[str, Any]:
    """Float and INT8 by every method: mIoU and IoU of each class, as fractions."""
    trained = load_checkpoint(checkpoint)
    exported = export_graph(trained, ExportConfig())
    chosen = choose_frames(FrameSource(str(camvid), "camvid", "train"), frames)
    ranges = observe_ranges(exported.model, chosen, calibration_digest=chosen.digest)
    ranges = with_trained_ranges(ranges, trained.lineage)
    dataset = EveryNth(open_dataset("camvid", camvid, "val"), every)

    def figures(file: bytes, precision: str) -> dict[str, Any]:
        found = score(file, precision, dataset, trained.label_map).result
        print(f"{precision}: mIoU {100 * found.miou:.2f} %", file=sys.stderr)
        return {"miou": found.miou, "iou": {each: value for each, value in found.iou.items() if value is not None}}

    methods = [*METHODS, *([TRAINED] if TRAINED in ranges.ranges else [])]
    return {
        "network": trained.spec.name,
        "checkpoint": trained.sha256,
        "trained": training(trained.lineage),
        "calibration": {"frames": len(chosen), "digest": chosen.digest},
        "measured": len(dataset),
        "float": figures(exported.model.SerializeToString(), "fp32"),
        "int8": {
            dialect: {
                method: figures(
                    quantize(exported.model, ranges, dialect=dialect, method=method).model.SerializeToString(),
                    precision,
                )
                for method in methods
            }
            for dialect, precision in DIALECTS.items()
        },
    }


def training(lineage: Mapping[str, Any]) -> str:
    """How a checkpoint was trained, in a line, from what it says of itself."""
    recipe = lineage.get("recipe")
    if not isinstance(recipe, dict):
        return "not by edgeseg"
    sets = ", ".join(f"{data['format']} {data['split']}" for data in recipe["data"])
    height, width = recipe["augment"]["crop_hw"]
    start = lineage.get("start_weights", {}).get("file")
    began = f", from {Path(start).name}" if start else ""
    return f"{recipe['schedule']['epochs']} epochs of {sets} in crops of {height}×{width}{began}"


def overview(kept: Mapping[str, Any]) -> str:
    """All models by all methods: what mIoU loses and what the worst class loses, in points."""
    methods = list(dict.fromkeys(method for found in kept.values() for method in found["int8"][CPU]))
    parts = ["Points of mIoU that INT8 costs, and after the stroke what the worst class loses:"]
    for dialect in DIALECTS:
        rows = []
        for name, found in kept.items():
            by_method = found["int8"][dialect]
            cells = [_worst(by_method[each], found["float"]) if each in by_method else "-" for each in methods]
            rows.append([name, f"{100 * found['float']['miou']:.2f}", *cells])
        parts.append(table([f"`{DIALECTS[dialect]}`", "float mIoU %", *methods], rows))
    return "\n\n".join(parts)


def _worst(figures: dict[str, Any], whole: dict[str, Any]) -> str:
    """Drop of mIoU / drop of the class that loses most."""
    drops = [whole["iou"][each] - figures["iou"].get(each, 0.0) for each in whole["iou"]]
    return f"{_points(whole['miou'] - figures['miou'])} / {_points(max(drops))}"


def _points(share: float) -> str:
    """A fraction in points, without a sign before zero."""
    return f"{round(100 * share, 2) + 0.0:.2f}"


def section(name: str, found: dict[str, Any]) -> str:
    """One model: a table for each dialect, drops in points."""
    whole = found["float"]
    lines = [
        f"### {name}: {found['network']}",
        f"Trained: {found['trained']}.",
        f"Float: {100 * whole['miou']:.2f} % mIoU on {found['measured']} frames of CamVid val; "
        f"{found['calibration']['frames']} calibration frames of CamVid train.",
    ]
    for dialect, methods in found["int8"].items():
        header = ["ranges", "mIoU %", "drop", *whole["iou"]]
        lines.append(f"`{DIALECTS[dialect]}`, mIoU, and what it and each class lose, in points:")
        lines.append(table(header, [row(method, figures, whole) for method, figures in methods.items()]))
    return "\n\n".join(lines)


def row(method: str, figures: dict[str, Any], whole: dict[str, Any]) -> Sequence[str]:
    """Method, mIoU, its drop, the drop of each class."""
    drops = [whole["iou"][each] - figures["iou"].get(each, 0.0) for each in whole["iou"]]
    lost = (whole["miou"] - figures["miou"], *drops)
    return [method, f"{100 * figures['miou']:.2f}", *map(_points, lost)]


if __name__ == "__main__":
    sys.exit(main())
