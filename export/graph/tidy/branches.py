"""Replace each `If` of a known condition by the branch that is taken."""

from __future__ import annotations

from typing import Any

import onnx

from export.graph.tidy.cut import drop_unused
from export.graph.tidy.trace import Trace


def inline_branches(model: onnx.ModelProto, trace: Trace) -> int:
    """Replace every `If` of a known condition, in place; return their number."""
    known = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer} | trace.constants
    nodes: list[Any] = []
    count = 0
    for node in model.graph.node:
        condition = known.get(node.input[0]) if node.op_type == "If" else None
        if condition is None or node.output[0] in trace.constants:
            nodes.append(node)
            continue
        branches = {a.name: a.g for a in node.attribute}
        nodes += _branch(model, branches["then_branch" if condition.all() else "else_branch"], node)
        count += 1
    if count:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        drop_unused(model.graph)
    return count


def _branch(model: onnx.ModelProto, branch: onnx.GraphProto, node: Any) -> list[Any]:
    """Return the nodes of a branch. Its values get unique names, and its outputs the names of those of the `If`."""
    names = {t.name: f"{node.output[0]}/{t.name}" for t in branch.initializer}
    names |= {name: f"{node.output[0]}/{name}" for step in branch.node for name in step.output if name}
    for tensor in branch.initializer:
        copied = model.graph.initializer.add()
        copied.CopyFrom(tensor)
        copied.name = names[tensor.name]
    steps = []
    for step in branch.node:
        copied_step = onnx.NodeProto()
        copied_step.CopyFrom(step)
        rename(copied_step, names)
        steps.append(copied_step)
    for inner, outer in zip(branch.output, node.output, strict=True):
        source = names.get(inner.name, inner.name)
        steps.append(onnx.helper.make_node("Identity", [source], [outer], name=f"{node.name}/{outer}"))
    return steps


def rename(node: Any, names: dict[str, str]) -> None:
    """Rename the values of a node, including those that its inner graphs capture."""
    for values in (node.input, node.output):
        for index, name in enumerate(values):
            values[index] = names.get(name, name)
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            own = {t.name for t in inner.initializer} | {i.name for i in inner.input}
            own |= {name for step in inner.node for name in step.output}
            outer = {old: new for old, new in names.items() if old not in own}
            for step in inner.node:
                rename(step, outer)
            for output in inner.output:
                output.name = outer.get(output.name, output.name)
