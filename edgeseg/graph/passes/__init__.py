"""Rewrites of an ONNX graph that keep what it computes, one a file; each changes the model in place and counts."""
