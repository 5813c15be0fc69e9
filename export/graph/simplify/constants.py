"""Drop factors of one and sums of zero, join constants that are added in a row, and factors of one product."""

from __future__ import annotations

import numpy as np

from export.graph.simplify.edit import Readers, operand_and_constant
from quant.tflite.records import Model, Operator, Tensor

NEUTRAL = {"MUL": 1.0, "DIV": 1.0, "ADD": 0.0, "SUB": 0.0}
MOVES = ("RESHAPE", "TRANSPOSE")


def drop_neutral(model: Model) -> int:
    """Remove products with ones and sums with zeros that change nothing; return their number."""
    count = 0
    ends = set(model.outputs.values())
    for op in [op for op in model.operators if op.name in NEUTRAL and op.activation == "NONE"]:
        found = operand_and_constant(op)
        if found is None or (found[2] and op.name in ("DIV", "SUB")):
            continue
        data, constant, _ = found
        if data.dtype != np.float32 or data.shape != op.outputs[0].shape:
            continue
        if np.all(np.asarray(constant.data) == NEUTRAL[op.name]) and op.outputs[0] not in ends:
            model.replace(op.outputs[0], data)
            model.operators.remove(op)
            count += 1
    return count


def join_sums(model: Model) -> int:
    """Add the sum of two constants that are added one after the other; return the number of joins."""
    count = 0
    known = Readers.of(model)
    for op in [op for op in model.operators if op.name == "ADD"]:
        before = known.only_for(_addend(op), op)
        if before is None or before.name != "ADD" or before.activation != "NONE":
            continue
        first, second = operand_and_constant(before), operand_and_constant(op)
        if first is None or second is None or before.outputs[0].shape != op.outputs[0].shape:
            continue
        total = np.asarray(first[1].real() + second[1].real(), np.float32)
        op.inputs = [first[0], Tensor.constant(second[1].name, total)]
        known.readers[first[0]] = [op if r is before else r for r in known.readers[first[0]]]
        model.operators.remove(before)
        count += 1
    return count


def _addend(op: Operator) -> Tensor | None:
    found = operand_and_constant(op)
    return None if found is None or found[0].dtype != np.float32 else found[0]


def join_factors(model: Model) -> int:
    """Multiply one operand of a product of matrices by the factors of both; return the number of joins."""
    count = 0
    for op in [op for op in model.operators if op.name == "BATCH_MATMUL"]:
        known = Readers.of(model)
        left, right = (_factor_of(known, op, place) for place in (0, 1))
        if left is None or right is None or left is right:
            continue
        (data, factor, _), (_, other, _) = (
            operand_and_constant(f) or (None, None, None) for f in (left, right)
        )
        assert data is not None and factor is not None and other is not None
        product = np.asarray(factor.real().reshape(-1)[0] * other.real(), np.float32)
        right.inputs = [t if t is not other else Tensor.constant(other.name, product) for t in right.inputs]
        model.replace(left.outputs[0], data)
        model.operators.remove(left)
        count += 1
    return count


def _factor_of(known: Readers, reader: Operator, place: int) -> Operator | None:
    """Return the product with one number before an operand, behind what only moves values."""
    tensor = reader.inputs[place]
    while True:
        op = known.only_for(tensor, reader)
        if op is None:
            return None
        if op.name in MOVES:
            tensor, reader = op.inputs[0], op
            continue
        found = operand_and_constant(op) if op.name == "MUL" and op.activation == "NONE" else None
        scales = found is not None and found[1].real().size == 1 and found[0].shape == op.outputs[0].shape
        return op if scales else None
