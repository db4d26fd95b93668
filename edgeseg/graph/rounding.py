"""What an FP16 graph computes on a GPU, made visible on a CPU.

ONNX Runtime has hardly any float16 kernels for x86. It runs such a graph in float32 and drops its own casts in between,
so of float16 only the rounded weights remain: measured there, any FP16 graph looks far better than it is. The pass here
writes the rounding out: every tensor that is float16 in the graph is computed in float32 and rounded to float16, which
is what tensor cores do (products accumulated in float32, results stored in float16). Casts that are part of a model are
left alone by ONNX Runtime.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.lint import tensor_types


def emulate_fp16(model: ModelProto) -> ModelProto:
    """FP16 graph → float32 graph with the same tensor names and the same values, rounding and overflow included."""
    emulated = ModelProto.FromString(model.SerializeToString())
    graph = emulated.graph
    half = {name for name, kind in tensor_types(emulated).items() if kind == TensorProto.FLOAT16}
    for tensor in graph.initializer:
        if tensor.name in half:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
    nodes = []
    for original in graph.node:
        node = NodeProto.FromString(original.SerializeToString())
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in half:
                node.output[index] = f"{name}.exact"
                rounded = f"{name}.rounded"
                nodes.append(helper.make_node("Cast", [f"{name}.exact"], [rounded], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [rounded], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    for value in graph.value_info:
        if value.name in half:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return emulated
