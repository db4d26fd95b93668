"""Ultralytics' segmenting network, exported by Ultralytics: frames a second of predict and plot, for `eager_loop.py`.

It runs in an environment of its own (`pip install ultralytics onnx onnxruntime onnxslim`); nothing of edgeseg is
imported here, and nothing of this is imported by edgeseg. The weights are random unless `--weights` names a file: time
does not depend on them. It reads a line from its standard input for each turn, and answers with one of JSON.
"""

import argparse
import json
import sys
import time
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from ultralytics import YOLO


def main() -> None:
    """Export, warm up, then a turn for each line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("frames_file", help=".npy, uint8 (N, H, W, 3) BGR")
    parser.add_argument("--weights", default="yolo26n-sem.yaml", help="a .yaml has random weights")
    parser.add_argument("--size", type=int, nargs=2, default=(352, 480), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=30)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    torch.set_num_threads(args.threads)
    _limit_threads(args.threads)
    exported = YOLO(args.weights).export(format="onnx", imgsz=list(args.size), verbose=False)
    network = YOLO(exported, task="semantic")
    frames = np.load(args.frames_file)

    count: int = args.frames

    def turn() -> float:
        began = time.perf_counter()
        for index in range(count):
            found = network.predict(frames[index % len(frames)], imgsz=list(args.size), device="cpu", verbose=False)
            found[0].plot()
        return count / (time.perf_counter() - began)

    turn()
    for _ in sys.stdin:
        print(json.dumps({"fps": turn()}), flush=True)


def _limit_threads(threads: int) -> None:
    """Ultralytics' own session would take every core."""
    made = onnxruntime.InferenceSession

    def limited(model: Any, sess_options: Any = None, **kwargs: Any) -> onnxruntime.InferenceSession:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return made(model, options, **kwargs)

    onnxruntime.InferenceSession = limited


if __name__ == "__main__":
    main()
