"""From a trained network to ONNX graphs, with the proof that they are the same network.

    recipe.py         what to export: sizes and precisions, checked at birth
    export.py         PyTorch → ONNX with the sealed contract (contract.py); passes/ rewrite it, lint.py checks it
    fp16.py           FP32 graph → strongly typed FP16 graph; mean_rounding.py chooses its weights
    frames.py         road scenes to compare on
    reference.py      the trained network in PyTorch, on those frames
    observe.py        running a graph and looking at tensors inside it
    rounding.py       what an FP16 graph computes on a GPU, made visible on a CPU
    agreement.py      two sets of logits → figures
    parity.py         the ladder PyTorch → FP32 → FP16, and its gates
    locate.py         the first layer where two rungs part; program.py does it for PyTorch's rung
    deliver.py        all of it: trained model → bundle, or a refusal
    recheck.py        parity of what was delivered, or of what failed and was kept

Nothing is delivered that was not compared with the trained network, on the very file that is delivered.
"""
