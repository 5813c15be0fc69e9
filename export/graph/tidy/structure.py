"""Check a file before native code reads it: ONNX's checker and ONNX Runtime trust the numbers checked here."""

from __future__ import annotations

from math import prod
from typing import Any

import onnx

from rpi_runtime.errors import InputError

NODES, DEPTH, ELEMENTS, NUMBER = 50_000, 8, 1 << 28, 1 << 16
SMALLEST_OPSET, LARGEST_OPSET = 7, 25
POSITIVE = ("strides", "dilations", "kernel_shape", "group", "blocksize", "num_groups", "num_outputs")
WIDTHS = {
    onnx.TensorProto.FLOAT: 4, onnx.TensorProto.DOUBLE: 8, onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.BFLOAT16: 2,
    onnx.TensorProto.INT8: 1, onnx.TensorProto.UINT8: 1, onnx.TensorProto.INT16: 2, onnx.TensorProto.UINT16: 2,
    onnx.TensorProto.INT32: 4, onnx.TensorProto.UINT32: 4, onnx.TensorProto.INT64: 8, onnx.TensorProto.UINT64: 8,
    onnx.TensorProto.BOOL: 1,
}  # fmt: skip
# number of inputs that native kernels read without a check
INPUTS = {
    "BatchNormalization": 5,
    "Conv": 2,
    "ConvTranspose": 2,
    "Gemm": 2,
    "MatMul": 2,
    "InstanceNormalization": 3,
}


def check_structure(model: onnx.ModelProto, path: str) -> None:
    """Raise `InputError` for a structure that no sound exporter writes."""
    _check_texts(model, path)
    versions = {o.domain: o.version for o in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if not SMALLEST_OPSET <= opset <= LARGEST_OPSET:
        raise InputError(
            f"{path}: it has opset {opset}; expected {SMALLEST_OPSET} to {LARGEST_OPSET}: export it again with 17"
        )
    if model.functions:
        raise InputError(f"{path}: it defines functions of its own; export it with the functions inlined")
    _check_graph(model.graph, path, set(), 0)


def _check_texts(message: Any, path: str) -> None:
    """Every text is UTF-8; the parser hands others on as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "ListFields") else value:
                _check_texts(part, path)
        elif field.type == field.TYPE_STRING:
            for part in [value] if isinstance(value, str | bytes) else value:
                if isinstance(part, bytes):
                    raise InputError(
                        f"{path}: not a readable ONNX file ({field.name} is no UTF-8: {part[:40]!r}); export it again"
                    )


def _check_graph(graph: onnx.GraphProto, path: str, outer: set[str], depth: int) -> None:
    if depth > DEPTH or len(graph.node) > NODES:
        raise InputError(f"{path}: its graph is nested or long beyond any pose network; export it again")
    for tensor in graph.initializer:
        _check_tensor(tensor, path)
    known = outer | {t.name for t in graph.initializer} | {i.name for i in graph.input}
    known |= {t.values.name for t in graph.sparse_initializer}
    for node in graph.node:
        what = f"{path}: node {node.name!r} ({node.op_type})"
        for name in node.input:
            if name and name not in known:
                raise InputError(
                    f"{what} reads {name!r}, which nothing before it makes; export the network again"
                )
        _check_node(node, what)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _check_tensor(attribute.t, path)
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                _check_graph(inner, path, known, depth + 1)
        made = [name for name in node.output if name]
        if known.intersection(made) - outer or len(set(made)) != len(made):
            raise InputError(f"{what} makes a value that exists already; export the network again")
        known.update(made)
    missing = [o.name for o in graph.output if o.name not in known]
    if missing:
        raise InputError(f"{path}: nothing makes its output {missing[0]!r}; export the network again")


def _check_tensor(tensor: onnx.TensorProto, path: str) -> None:
    what = f"{path}: constant {tensor.name!r}"
    count = prod(tensor.dims)
    if any(d < 0 for d in tensor.dims) or count > ELEMENTS or len(tensor.dims) > DEPTH:
        raise InputError(
            f"{what} has shape {list(tensor.dims)[:DEPTH]}, beyond any pose network's; export it again"
        )
    width = WIDTHS.get(tensor.data_type)
    if tensor.data_type == onnx.TensorProto.STRING or (
        width is None and tensor.data_type not in (17, 18, 21, 22)
    ):
        raise InputError(f"{what} is no tensor of numbers; export the network again")
    if width and tensor.raw_data and len(tensor.raw_data) != count * width:
        raise InputError(
            f"{what} has {len(tensor.raw_data)} bytes; expected {count * width}: the file is damaged"
        )
    if width and not tensor.raw_data and count:
        stored = max(
            len(tensor.float_data), len(tensor.int32_data), len(tensor.int64_data), len(tensor.double_data)
        )
        stored = max(stored, len(tensor.uint64_data))
        if stored != count:
            raise InputError(f"{what} holds {stored} numbers; expected {count}: the file is damaged")


def _check_node(node: onnx.NodeProto, what: str) -> None:
    if len([name for name in node.input if name]) < INPUTS.get(node.op_type, 0):
        raise InputError(f"{what} has {len(node.input)} inputs; expected at least {INPUTS[node.op_type]}")
    if not node.output:
        raise InputError(f"{what} has no output; export the network again")
    for attribute in node.attribute:
        values = _whole(attribute)
        if attribute.name in POSITIVE and any(not 0 < v < NUMBER for v in values):
            raise InputError(f"{what} has {attribute.name} {values}; expected positive numbers")
        if attribute.name in ("pads", "output_padding", "axes", "perm") and any(
            abs(v) > NUMBER for v in values
        ):
            raise InputError(f"{what} has {attribute.name} {values}; expected numbers of a picture's size")


def _whole(attribute: Any) -> list[int]:
    if attribute.type == onnx.AttributeProto.INT:
        return [int(attribute.i)]
    return [int(v) for v in attribute.ints][:64]
