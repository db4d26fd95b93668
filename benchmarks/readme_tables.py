"""The README's tables and pictures, measured anew on this machine.

    EDGESEG_DATA=DIR python benchmarks/readme_tables.py        (DIR holds camvid/)

Exports the default model and measures: accuracy on CamVid test (checkpoint, FP32 and FP16 bundle), the parity ladder,
and latency of the session and of the whole loop, interleaved round by round. Writes results/default.json beside this
file, docs/images/, and what stands between the marks in README.md. The pictures show the synthetic drive, because
CamVid's frames are not ours to publish.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markdown_page import processor, table, write_between_marks

from edgeseg import Bundle, Segmenter
from edgeseg.data import open_dataset
from edgeseg.data.synthetic import SCENES, SyntheticDrive
from edgeseg.files import atomic_path, write_json
from edgeseg.graph.deliver import deliver
from edgeseg.graph.recipe import ExportConfig
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.runtime import load_segmenter
from edgeseg.video.overlay import Overlay

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "default.json"
PICTURE = ROOT / "docs" / "images" / "synthetic_drive.jpg"

_ROUNDS = 60
_WARMUP_ROUNDS = 5
_PICTURE_SCENES = ("day", "dusk", "rain", "night")
_JPEG_QUALITY = 88


def main() -> int:
    """Measure, write, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGESEG_DATA"), help="folder that holds camvid/")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.data is None:
        parser.error("say where camvid/ is: --data DIR, or EDGESEG_DATA")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeseg-default.edgeseg"
        delivery = deliver(load_checkpoint(), ExportConfig(fp16=True), path)
        delivery.raise_if_failed()
        bundle = Bundle.open(path)
        measured = {
            "machine": f"{platform.machine()}, {args.threads} threads: {processor()}",
            "accuracy": _accuracy(path, args.data / "camvid", args.threads),
            "parity": delivery.parity.to_dict(),
            "latency_ms": _latency(bundle, args.threads),
            "size_bytes": {precision: bundle.graph_path(precision).stat().st_size for precision in bundle.precisions},
        }
        _picture(bundle, args.threads)
    write_json(RESULTS, measured)
    write_between_marks(ROOT / "README.md", _markdown(measured))
    print(_markdown(measured))
    return 0


def _accuracy(bundle: Path, camvid: Path, threads: int) -> dict[str, Any]:
    """CamVid test by the trained model in PyTorch and by both graphs of the bundle."""
    dataset = open_dataset("camvid", camvid, "test")
    rungs: dict[str, tuple[Path | None, str]] = {
        "PyTorch FP32": (None, "fp32"),
        "ONNX FP32": (bundle, "fp32"),
        "ONNX FP16": (bundle, "fp16"),
    }
    results = {}
    for name, (target, precision) in rungs.items():
        with load_segmenter(target, precision=precision, threads=threads) as segmenter:
            result = evaluate(dataset, lambda frame: segmenter(frame).labels, segmenter.label_map)
        results[name] = result.to_dict()
        print(f"{name}: mIoU {100 * result.miou:.2f} %", file=sys.stderr)
    return results


def _latency(bundle: Bundle, threads: int) -> dict[str, float]:
    """Median milliseconds a frame, the candidates taking turns so that all see the same machine."""
    size_hw = bundle.contract.network_hw
    frame, _ = SyntheticDrive(7, "day", size_hw).frame(100)
    overlay = Overlay(bundle.label_map)
    times: dict[str, list[float]] = {}
    with (
        Segmenter(bundle, precision="fp32", threads=threads) as fp32,
        load_segmenter(None, threads=threads) as trained,
    ):
        candidates: dict[str, Callable[[], object]] = {
            "PyTorch FP32, frame to labels": lambda: trained(frame),
            "ONNX Runtime FP32, frame to labels": lambda: fp32(frame),
            "ONNX Runtime FP32, with overlay": lambda: overlay.paint(frame, fp32(frame).labels, "edgeseg"),
        }
        for turn in range(_WARMUP_ROUNDS + _ROUNDS):
            for name, candidate in candidates.items():
                began = time.perf_counter()
                candidate()
                if turn >= _WARMUP_ROUNDS:
                    times.setdefault(name, []).append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def _picture(bundle: Bundle, threads: int) -> None:
    """Four scenes of the drive as the demo shows them, two by two."""
    assert set(_PICTURE_SCENES) <= set(SCENES)
    overlay = Overlay(bundle.label_map)
    with Segmenter(bundle, threads=threads) as segmenter:
        shown = []
        for scene in _PICTURE_SCENES:
            frame, _ = SyntheticDrive(21, scene, bundle.contract.network_hw).frame(400)
            shown.append(overlay.paint(frame, segmenter(frame).labels, scene))
    sheet = np.vstack([np.hstack(shown[:2]), np.hstack(shown[2:])])
    with atomic_path(PICTURE) as temporary:
        cv2.imwrite(str(temporary), sheet, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _markdown(measured: dict[str, Any]) -> str:
    """The measured part of the README."""
    accuracy, latency = measured["accuracy"], measured["latency_ms"]
    classes = list(accuracy["PyTorch FP32"]["iou"])
    rows = [
        ["**mIoU**", *(f"**{100 * figures['miou']:.2f}**" for figures in accuracy.values())],
        ["pixel accuracy", *(f"{100 * figures['pixel_accuracy']:.2f}" for figures in accuracy.values())],
        *[[f"IoU {name}", *(f"{100 * figures['iou'][name]:.2f}" for figures in accuracy.values())] for name in classes],
    ]
    steps = [
        [
            name.replace("__", " → "),
            f"{100 * pair['argmax_agreement']:.4f}",
            f"{100 * pair['border_agreement']:.4f}",
            f"{pair['max_abs']:.1e}",
            f"≥ {100 * pair['gate']:.2f}",
        ]
        for name, pair in measured["parity"]["pairs"].items()
    ]
    slowest = max(latency.values())
    times = [[name, f"{value:.1f}", f"{slowest / value:.2f} ×"] for name, value in latency.items()]
    return "\n\n".join(
        (
            f"CamVid test, 233 frames, 480×360, 11 classes, void ignored; figures in %:\n\n"
            f"{table(['', *accuracy], rows)}",
            f"Parity, {measured['parity']['frames']}; pixels with the same class in %:\n\n"
            f"{table(['step', 'all', 'class borders', 'max error of logits', 'gate'], steps)}",
            f"Median latency at 480×360, taking turns in one run ({measured['machine']}):\n\n"
            f"{table(['', 'ms', 'against the slowest'], times)}",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
