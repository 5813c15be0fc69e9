"""Padding where XNNPACK takes it: inside convolutions, and as zeros before a maximum.

A convolution that pads by itself reads its input where it lies; a Pad before it copies the whole map. TFLite's maximum
over windows pads with minus infinity, for which the converter makes a PADV2; with it LiteRT 2.1's XNNPACK refuses to
start. Behind a ReLU zeros do the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from export.graph.graph import OnnxGraph, attribute


def fold_pads(graph: OnnxGraph) -> int:
    """Make a Pad with zeros that only convolutions read their own padding; return how many."""
    consumers, count = graph.consumers(), 0
    for node in [n for n in graph.nodes if n.op_type == "Pad"]:
        pads = _zero_pads(graph, node)
        readers = consumers.get(node.output[0], [])
        if pads is None or node.output[0] in graph.outputs or not all(r.op_type == "Conv" for r in readers):
            continue
        for reader in readers:
            _add_pads(reader, pads)
            reader.input[0] = node.input[0]
        graph.model.graph.node.remove(node)
        count += 1
    return count


def _zero_pads(graph: OnnxGraph, node: Any) -> list[int] | None:
    """Top, left, bottom, right of a padding with zeros of the last two of four axes, else None."""
    known = [graph.constants.get(n) for n in node.input[1:] if n]
    if attribute(node, "mode", b"constant") != b"constant" or not known or any(k is None for k in known):
        return None
    pads = np.asarray(known[0])
    if pads.shape != (8,) or np.any(pads[[0, 1, 4, 5]] != 0) or np.any(pads < 0):
        return None
    if len(known) > 1 and np.any(np.asarray(known[1]) != 0):
        return None
    return [int(pads[i]) for i in (2, 3, 6, 7)]


def _add_pads(conv: Any, pads: list[int]) -> None:
    total = [a + b for a, b in zip(attribute(conv, "pads", [0, 0, 0, 0]), pads, strict=True)]
    for item in [a for a in conv.attribute if a.name == "pads"]:
        conv.attribute.remove(item)
    conv.attribute.append(onnx.helper.make_attribute("pads", total))


def pad_before_pools(graph: OnnxGraph) -> int:
    """Give every padded MaxPool of values that are not negative a Pad with zeros; return how many."""
    producers = {o: n for n in graph.nodes for o in n.output}
    count = 0
    for pool in [n for n in graph.nodes if n.op_type == "MaxPool"]:
        pads = attribute(pool, "pads", [0, 0, 0, 0])
        plain = attribute(pool, "ceil_mode", 0) == 0 and len(pads) == 4 and len(pool.output) == 1
        if not any(pads) or not plain or not _not_negative(graph, producers.get(pool.input[0])):
            continue
        name = f"{pool.name}/padded"
        graph.replace_constant(f"{name}/pads", np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64))
        pad = onnx.helper.make_node("Pad", [pool.input[0], f"{name}/pads"], [name], name=name)
        for item in [a for a in pool.attribute if a.name == "pads"]:
            pool.attribute.remove(item)
        pool.input[0] = name
        graph.replace([pool], [pad, _copy(pool)])
        count += 1
    return count


def _not_negative(graph: OnnxGraph, node: Any) -> bool:
    if node is None or node.op_type == "Relu":
        return node is not None
    low = graph.constants.get(node.input[1]) if node.op_type == "Clip" and len(node.input) > 1 else None
    return low is not None and float(low) >= 0


def _copy(node: Any) -> Any:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    return made
