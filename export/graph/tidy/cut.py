"""Cut a graph to the part between the image and the outputs that the card names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import onnx

from rpi_runtime.errors import InputError

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
WHOLE = (onnx.TensorProto.UINT8, onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def cut_to_outputs(model: onnx.ModelProto, outputs: Sequence[str], path: str) -> None:
    """Let the graph end at these values, which may lie inside it, and drop everything that they do not need.

    Raises
    ------
    InputError
        The graph has no value of one of these names.
    """
    graph = model.graph
    made = {name for node in graph.node for name in node.output if name}
    missing = [name for name in outputs if name not in made]
    if missing:
        own = [o.name for o in graph.output]
        near = get_close_matches(missing[0], made, 1)
        raise InputError(
            f"{path}: no output {', '.join(missing)}; it has {', '.join(own)}"
            + (f", and inside {near[0]!r}" if near and near[0] not in own else "")
            + ": correct the card (python -m quant.card --describe FILE lists what it can name)"
        )
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes, constants and inputs that no output needs."""
    wanted = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(name for name in read_by(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for values in (graph.initializer, graph.input):
        used = [v for v in values if v.name in wanted]
        if len(used) != len(values):
            del values[:]
            values.extend(used)


def read_by(node: onnx.NodeProto) -> set[str]:
    """Return the names of all values that a node reads, including those that its inner graphs capture."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            own = {i.name for i in inner.input} | {t.name for t in inner.initializer}
            for step in inner.node:
                names |= read_by(step) - own
                own.update(step.output)
            names |= {o.name for o in inner.output} - own
    return names


def fix_input(model: onnx.ModelProto, width: int, height: int, path: str) -> tuple[str, bool]:
    """Give the image input the card's size; return its name, and whether the file takes whole numbers.

    Weights among the inputs, as in files of IR version 3, are removed from them. An image with its channels last, as
    tf2onnx leaves it, gets a Transpose behind it, which costs nothing in the .tflite. One of whole numbers becomes one
    of floats with a Cast behind it.
    """
    graph = model.graph
    constants = {i.name for i in graph.initializer}
    for weights in [i for i in graph.input if i.name in constants]:
        graph.input.remove(weights)
    inputs = list(graph.input)
    model.ir_version = max(model.ir_version, 8)
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in (*FLOATS, *WHOLE):
        raise InputError(
            f"{path}: expected one input, an image of floats, uint8, int32 or int64; it has {_described(inputs)}"
        )
    dims = inputs[0].type.tensor_type.shape.dim
    if len(dims) != 4:
        raise InputError(f"{path}: input {inputs[0].name} has {len(dims)} axes, expected (1, 3, H, W)")
    have = [d.dim_value or d.dim_param or "?" for d in dims]
    last = channels_last(inputs[0])
    wanted = (1, height, width, 3) if last else (1, 3, height, width)
    if isinstance(have[0], int) and have[0] != 1:
        raise InputError(
            f"{path}: input {have} is a batch of {have[0]}: export the network again for one picture"
        )
    if any(isinstance(n, int) and n != want for n, want in zip(have, wanted, strict=True)):
        raise InputError(
            f"{path}: input {have}, expected {list(wanted)}: give the size that it was made for in the card "
            "(and no --size), or export the network to ONNX again at the size that you want"
        )
    for dim, want in zip(dims, wanted, strict=True):
        dim.dim_value = want
    del graph.value_info[:]
    whole = inputs[0].type.tensor_type.elem_type in WHOLE
    if last:
        _channels_first(graph, inputs[0])
    if whole:
        _real(graph, inputs[0])
    return str(inputs[0].name), whole


def channels_last(image: onnx.ValueInfoProto) -> bool:
    """Whether an input of four axes has its three channels last."""
    dims = [d.dim_value for d in image.type.tensor_type.shape.dim]
    return len(dims) == 4 and dims[3] == 3 and dims[1] != 3


def _channels_first(graph: onnx.GraphProto, image: onnx.ValueInfoProto) -> None:
    """Let the graph begin with an image (1, 3, H, W)."""
    _put_before(graph, image, "Transpose", "channels_first", perm=[0, 2, 3, 1])
    dims = image.type.tensor_type.shape.dim
    sizes = [dims[i].dim_value for i in (0, 3, 1, 2)]
    for dim, size in zip(dims, sizes, strict=True):
        dim.dim_value = size


def _real(graph: onnx.GraphProto, image: onnx.ValueInfoProto) -> None:
    """Let the graph begin with an image of floats."""
    kind = image.type.tensor_type
    _put_before(graph, image, "Cast", "real", to=kind.elem_type)
    kind.elem_type = onnx.TensorProto.FLOAT


def _put_before(
    graph: onnx.GraphProto, image: onnx.ValueInfoProto, kind: str, label: str, **attributes: Any
) -> None:
    """Make an operator the first one; what it reads is the image from now on."""
    taken = {i.name for i in graph.initializer} | {
        name for node in graph.node for name in (*node.input, *node.output)
    }
    inner, name = image.name, f"{image.name}/{label}"
    while name in taken:
        name += "_"
    nodes = [onnx.helper.make_node(kind, [name], [inner], **attributes), *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    image.name = name


def _described(inputs: Sequence[onnx.ValueInfoProto]) -> str:
    kinds = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}
    return ", ".join(f"{i.name} ({kinds[i.type.tensor_type.elem_type]})" for i in inputs) or "none"
