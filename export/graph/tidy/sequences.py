"""Write splits into sequences, as unoptimized exports have them, as splits into tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.tidy.cut import drop_unused
from export.graph.tidy.trace import Trace

Known = dict[str, NDArray[Any]]
SIZES_AS_INPUT = 13  # opset from which Split takes its sizes as an input


def split_sequences(model: onnx.ModelProto, trace: Trace) -> int:
    """Replace every SplitToSequence whose parts are taken at known places, in place; return their number."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    known = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer} | trace.constants
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    count = 0
    for node in list(model.graph.node):
        if node.op_type == "SplitToSequence" and _is_taken_apart(node, readers, known):
            _split(model.graph, node, readers[node.output[0]], known, trace)
            if opset < SIZES_AS_INPUT:
                _sizes_as_attribute(model.graph, node)
            count += 1
    if count:
        drop_unused(model.graph)
    return count


def _is_taken_apart(node: Any, readers: dict[str, list[Any]], known: Known) -> bool:
    """Whether each reader takes one part at a known place, and the sizes are known."""
    taken = readers.get(node.output[0], [])
    places = all(reader.op_type == "SequenceAt" and reader.input[1] in known for reader in taken)
    return bool(taken) and places and len(node.input) == 2 and node.input[1] in known


def _split(graph: onnx.GraphProto, node: Any, readers: list[Any], known: Known, trace: Trace) -> None:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    given, length = known[node.input[1]], trace.shapes[node.input[0]][axis]
    sizes = [int(n) for n in given] if given.ndim else _equal(length, int(given))
    name = node.output[0]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes, np.int64), f"{name}/sizes"))
    parts = [f"{name}/{index}" for index in range(len(sizes))]
    for reader in readers:
        place = int(known[reader.input[1]].item()) % len(sizes)
        del reader.input[:]
        reader.input.append(parts[place])
        reader.op_type = "Identity"
    node.op_type = "Split"
    node.input[1] = f"{name}/sizes"
    del node.output[:], node.attribute[:]
    node.output.extend(parts)
    node.attribute.append(onnx.helper.make_attribute("axis", axis))


def _sizes_as_attribute(graph: onnx.GraphProto, node: Any) -> None:
    """Give a Split that has just been written its sizes as earlier opsets do."""
    sizes = graph.initializer.pop()
    del node.input[1:]
    node.attribute.append(onnx.helper.make_attribute("split", onnx.numpy_helper.to_array(sizes)))


def _equal(length: int, size: int) -> list[int]:
    """Parts of one size, of which the last may be smaller."""
    return [min(size, length - begin) for begin in range(0, length, size)]
