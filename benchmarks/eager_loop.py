"""The camera loop beside what one writes without edgeseg: `python benchmarks/eager_loop.py BUNDLE [--threads 2]`.

The other one is the loop of most tutorials: `cv2.VideoCapture`'s frame, cv2.resize, colours turned and normalised, the
network in eager PyTorch (evaluation mode, no gradients), argmax in numpy, labels enlarged, a colour table, and
cv2.addWeighted. Both have the default model's weights, the same frames and the same number of threads; neither shows a
window. They take turns, and ratios are those of the medians. The bundle is the default model's with the camera's size:

    edgeseg export --int8 --calibration-data CAMVID --camera-size 720x1280 --output camera.edgeseg

With `--peer-python PYTHON`, the Python of an environment of its own in which `ultralytics` (AGPL-3.0, never a
dependency of edgeseg) and onnx are installed, their segmenting network takes its turns as well: predict and plot, by
`benchmarks/ultralytics_peer.py`. `--also fcn8s_mobilenet_v2` adds another network of ours in INT8, with random weights,
which do not change the time: that one has about as many parameters as theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from camera_loop import MadeFrames, bare_fps, loop
from graph_passes import random_model

from edgeseg.bundle import Bundle
from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.files import write_json
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, default_checkpoint, load_checkpoint
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.ranges import observe_ranges
from edgeseg.runtime.ort import OrtSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame

MADE = 12
PEER = Path(__file__).resolve().parent / "ultralytics_peer.py"

Turn = Callable[[], float]
"""Runs so many frames and gives frames a second."""


def eager(frames: Sequence[Frame], count: int, threads: int) -> Turn:
    """What one writes without edgeseg."""
    trained = load_checkpoint(default_checkpoint())
    height, width = trained.size_hw
    network = trained.network.eval()
    colours = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    mean, std = np.asarray(IMAGENET_MEAN, np.float32), np.asarray(IMAGENET_STD, np.float32)

    def run() -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        for index in range(count):
            frame_bgr = frames[index % len(frames)]
            rgb = cv2.cvtColor(cv2.resize(frame_bgr, (width, height)), cv2.COLOR_BGR2RGB)
            values = ((rgb.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[np.newaxis]
            with torch.no_grad():
                logits = network(torch.from_numpy(values))["out"]
            labels = logits[0].numpy().argmax(0).astype(np.uint8)
            labels = cv2.resize(labels, frame_bgr.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            cv2.addWeighted(frame_bgr, 0.55, colours[labels], 0.45, 0)
        return count / (time.perf_counter() - began)

    return run


def loop_fps(segmenter: Segmenter, frames: Sequence[Frame], count: int) -> float:
    """The camera loop with its overlay."""
    return loop(segmenter, MadeFrames(frames, count), whole=False).fps


def peer(python: Path, frames: Sequence[Frame], count: int, threads: int, stack: ExitStack) -> Turn:
    """Another package in a process of its own, which waits between its turns."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    np.save(folder / "frames.npy", np.stack(frames))
    process = stack.enter_context(
        subprocess.Popen(
            [str(python), str(PEER), str(folder / "frames.npy"), "--threads", str(threads), "--frames", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": ""},
            text=True,
        )
    )
    stack.callback(process.terminate)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run() -> float:
        stdin.write("go\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("{"):
                return float(json.loads(line)["fps"])
        raise SystemExit(f"{PEER.name} ended with status {process.wait()}; its messages are above.")

    return run


def untrained_int8(name: str, bundle: Bundle, frames: Sequence[Frame], threads: int) -> OrtSession:
    """A network with random weights in INT8 for CPUs, for the sizes of `bundle`."""
    contract = bundle.contract
    config = ExportConfig(size_hw=contract.network_hw, camera_hw=contract.camera_hw)
    model = export_graph(random_model(name, contract.network_hw), config).model
    ranges = observe_ranges(model, frames[:4], calibration_digest="")
    written = quantize(model, ranges, dialect="cpu", method="min-max").model
    return OrtSession(written.SerializeToString(), threads=threads, name=name)


def measure(args: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Frames a second of each, round by round."""
    bundle = Bundle.open(args.bundle)
    if bundle.contract.camera_hw is None:
        raise SystemExit(f"{args.bundle} takes frames of any size; export it with --camera-size.")
    frames = [SyntheticDrive(size_hw=bundle.contract.camera_hw).frame(3 * index)[0] for index in range(MADE)]
    turns: dict[str, Turn] = {}
    for precision in args.precision:
        session = OrtSession.from_bundle(bundle, precision=precision, threads=args.threads)
        segmenter = stack.enter_context(Segmenter.from_session(session, bundle.label_map))
        turns[f"session alone, {precision}"] = partial(bare_fps, session, frames, args.frames)
        turns[f"edgeseg, {precision}"] = partial(loop_fps, segmenter, frames, args.frames)
    for name in args.also:
        session = untrained_int8(name, bundle, frames, args.threads)
        segmenter = stack.enter_context(Segmenter.from_session(session, bundle.label_map))
        turns[f"edgeseg, int8-cpu, {name}"] = partial(loop_fps, segmenter, frames, args.frames)
    turns["eager PyTorch"] = eager(frames, args.frames, args.threads)
    if args.peer_python is not None:
        turns["Ultralytics, predict + plot"] = peer(args.peer_python, frames, args.frames, args.threads, stack)
    fps: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(args.rounds + 1):
        for name, turn in turns.items():
            found = turn()
            if number:  # the first is to warm up
                fps[name].append(found)
    return {"threads": args.threads, "frame_hw": list(bundle.contract.camera_hw), "fps": fps}


def main() -> int:
    """Print the table, and write the figures where `--json` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8-cpu"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=30, help="of a turn (default: %(default)s)")
    parser.add_argument("--peer-python", type=Path, metavar="PYTHON")
    parser.add_argument("--also", nargs="*", default=[], metavar="NETWORK")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    with ExitStack() as stack:
        figures = measure(args, stack)
    medians = {name: statistics.median(found) for name, found in figures["fps"].items()}
    others = [name for name in medians if not name.startswith(("edgeseg", "session"))]
    rows = [
        [name, f"{median:.1f}", *[f"{median / medians[other]:.2f} ×" for other in others]]
        for name, median in medians.items()
    ]
    print(format_table([f"{args.threads} threads", "frames/s", *[f"beside {other}" for other in others]], rows))
    if args.json is not None:
        write_json(args.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
