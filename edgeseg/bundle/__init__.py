"""A bundle: the folder `NAME.edgeseg/` with the graphs, golden frames to test a device with, and the proof of both.

    manifest.json                     what is in it and where it comes from: edgeseg.bundle.manifest
    model.fp32.onnx, model.fp16.onnx  single files; frame uint8 (1, H, W, 3) BGR → labels uint8 (1, H, W)
    model.int8-cpu.onnx               the same in INT8 for ONNX Runtime on a CPU, and for TensorRT: model.int8-trt.onnx
    golden/NAME.png, NAME.labels.png  frames, and the labels that the trained network gives them
    golden/NAME.confidence.png        how sure it is of them, where the graphs say it too
    engines/                          made on the device, with sidecars of their own; not in the manifest

Nothing is loaded whose hash is not in the manifest. Other files in the folder are left alone and never read.
"""

from __future__ import annotations

from edgeseg.bundle.golden import GoldenFrame
from edgeseg.bundle.manifest import Contract, Manifest
from edgeseg.bundle.reader import Bundle
from edgeseg.bundle.writer import BundleWriter

__all__ = ["Bundle", "BundleWriter", "Contract", "GoldenFrame", "Manifest"]
