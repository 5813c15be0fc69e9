"""Join consecutive reshapes, transpositions and pads, and compute equal results once."""

from __future__ import annotations

import numpy as np

from export.graph.simplify.edit import Readers
from quant.tflite.records import Model, Operator, Tensor

COMPARED = 64  # largest number of elements of constants that are compared by value


def join_reshapes(model: Model) -> int:
    """Join a reshape or transposition with the one before it; drop those that do nothing."""
    count = 0
    producers = model.producers()
    for op in list(model.operators):
        if op.name not in ("RESHAPE", "TRANSPOSE"):
            continue
        before = producers.get(op.inputs[0]) if op.inputs[0] is not None else None
        if before is not None and before.name == op.name:
            if op.name == "TRANSPOSE":
                first, second = (_permutation(o) for o in (before, op))
                op.inputs[1] = Tensor.constant("permutation", np.array([first[i] for i in second], np.int32))
            op.inputs[0] = before.inputs[0]
            count += 1
        if _does_nothing(op) and not _between_ends(model, op):
            assert op.inputs[0] is not None
            model.replace(op.outputs[0], op.inputs[0])
            model.operators.remove(op)
            producers = model.producers()
            count += 1
    model.drop_unused()
    return count


def _between_ends(model: Model, op: Operator) -> bool:
    """Return whether, without the operator, an input or another output would become the network's output."""
    ends = [*model.inputs.values(), *model.outputs.values()]
    return op.outputs[0] in model.outputs.values() and op.inputs[0] in ends


def _permutation(op: Operator) -> list[int]:
    constant = op.inputs[1]
    assert constant is not None and constant.data is not None
    return [int(i) for i in constant.data]


def _does_nothing(op: Operator) -> bool:
    if op.inputs[0] is None or op.inputs[0].shape != op.outputs[0].shape:
        return False
    return op.name == "RESHAPE" or _permutation(op) == sorted(_permutation(op))


def share_equals(model: Model) -> int:
    """Keep one of several operators that compute the same; return the number of operators removed."""
    seen: dict[tuple[object, ...], Operator] = {}
    outputs = set(model.outputs.values())
    count = 0
    for op in list(model.operators):
        key = (
            op.name,
            tuple(_identity(t) for t in op.inputs),
            tuple(sorted(op.options.items())),
            len(op.outputs),
        )
        first = seen.setdefault(key, op)
        if first is op or any(t in outputs for t in op.outputs):
            continue
        for mine, other in zip(op.outputs, first.outputs, strict=True):
            model.replace(mine, other)
        model.operators.remove(op)
        count += 1
    return count


def _identity(tensor: Tensor | None) -> object:
    if tensor is None or tensor.data is None or tensor.data.size > COMPARED:
        return id(tensor)
    return tensor.dtype.str, tensor.shape, tensor.data.tobytes()


def merge_pads(model: Model) -> int:
    """Join two consecutive zero pads; return the number of pads removed."""
    count = 0
    for op in [op for op in model.operators if op.name == "PAD"]:
        before = Readers.of(model).only_for(op.inputs[0], op)
        if before is None or before.name != "PAD":
            continue
        first, second = (np.asarray(o.inputs[1].data) for o in (before, op) if o.inputs[1] is not None)
        op.inputs = [before.inputs[0], Tensor.constant("paddings", np.asarray(first + second, np.int32))]
        model.operators.remove(before)
        count += 1
    return count
