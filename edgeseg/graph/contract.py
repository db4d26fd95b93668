"""Names and opset that every sealed graph has, whatever network is inside."""

from __future__ import annotations

from edgeseg import types

FRAME = "frame"
"""Input: uint8 (1, H, W, 3) BGR."""

IMAGE = "image"
"""The preprocessed frame, where the network begins: float32 (1, 3, h, w) RGB, normalised."""

LOGITS = "logits"
"""What the network says, where ArgMax reads it: (1, C, h, w), or (1, C, s·s, h/s, w/s) where the class ids are laid out
as an image only afterwards (`phases.lay_out_logits` does it with the logits)."""

LABELS = "labels"
"""Output: uint8 (1, H, W); 255 everywhere for a frame whose logits hold a NaN or an infinity."""

CONFIDENCE = types.CONFIDENCE
"""Second output of graphs that were exported with it: uint8 (1, H, W), 255 times the softmax probability of each label;
0 everywhere for an invalid frame."""

CLASSES_PROPERTY = "edgeseg.classes"
"""Model property: the class names in id order, as JSON."""

CHECKPOINT_PROPERTY = "edgeseg.checkpoint_sha256"
"""Model property: which weights the graph was made of."""

OPSET = 20
"""Written by PyTorch without conversion, read by TensorRT from 10.0 and by ONNX Runtime from 1.18 on."""
