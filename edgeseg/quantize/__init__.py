"""INT8 with an accuracy budget: from an FP32 sealed graph to Q/DQ graphs that are proven as good, or refused.

calibration_set.py  which frames are looked at, and an audit of them
ranges.py           what every tensor's values span on those frames, by several methods, as one table
placement.py        which tensors get a Q/DQ pair, and why the others do not
dialects/           the same table and placement written for ONNX Runtime on CPUs, and for TensorRT
lint.py             the rules of each dialect, proven on the written file
sensitivity.py      which layers cost accuracy
budget.py           the best mix within the budget, or a refusal
"""
