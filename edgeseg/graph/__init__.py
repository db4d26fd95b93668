"""From a trained network to ONNX graphs, with the proof that they are the same network.

recipe    what to export: sizes and precisions, checked at birth
export    PyTorch → ONNX with the sealed contract
lint      what a sealed graph must be
fp16      FP32 graph → strongly typed FP16 graph
rounding  what an FP16 graph computes on a GPU, made visible on a CPU
observe   running a graph and looking at tensors inside it
frames    road scenes to compare on
agreement two sets of logits → figures
parity    the ladder PyTorch → FP32 → FP16, and its gates
locate    the first layer where two rungs part
deliver   all of it: trained model → bundle, or a refusal
"""
