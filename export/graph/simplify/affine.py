"""Fold factors and offsets per channel into the convolution before or after them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.graph.simplify.edit import (
    OUTPUTS,
    Readers,
    operand_and_constant,
    per_channel,
    places,
    set_weights,
    weights_of,
)
from quant.tflite.records import Model, Operator, Tensor

Vector = NDArray[np.float64]
KINDS = ("MUL", "DIV", "ADD", "SUB")


def affine(op: Operator) -> tuple[Tensor, Vector, Vector] | None:
    """Return the tensor, factor and offset per channel of an affine operator; None for another operator."""
    if op.name not in KINDS:
        return None
    found = operand_and_constant(op)
    if found is None or found[0].shape != op.outputs[0].shape or found[0].dtype != np.float32:
        return None
    data, constant, first = found
    if not data.shape:
        return None
    channels = data.shape[-1]
    values = per_channel(constant, channels)
    if values is None or (op.name == "DIV" and (first or not values.all())):
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if op.name == "MUL":
        return data, values, zero
    if op.name == "DIV":
        return data, 1 / values, zero
    if op.name == "ADD":
        return data, one, values
    return (data, -one, values) if first else (data, one, -values)


def fold_into_previous(model: Model) -> int:
    """Fold operators that scale or shift channels into the linear ones before them; return their number."""
    known, count = Readers.of(model), 0
    for op in list(model.operators):
        found = affine(op)
        if found is None:
            continue
        data, factor, offset = found
        maker = known.only_for(data, op)
        weights = None if maker is None else weights_of(maker)
        if maker is None or weights is None or maker.activation != "NONE":
            continue
        kernel, bias = weights
        shape = [1] * kernel.ndim
        shape[OUTPUTS[maker.name]] = -1
        set_weights(maker, kernel * factor.reshape(shape), bias * factor + offset)
        maker.options["fused_activation_function"] = op.activation
        maker.outputs = op.outputs
        known.producers[op.outputs[0]] = maker
        model.operators.remove(op)
        count += 1
    return count


def join_affine(model: Model) -> int:
    """Join factors and offsets that stand alone into one depthwise convolution; return the number of joins."""
    count = 0
    for op in list(model.operators):
        chain = _affine_chain(model, op) if op.name in KINDS and op in model.operators else []
        if len(chain) < 2:
            continue
        data, factor, offset = chain[0][1]
        for _, (_, scale, shift) in chain[1:]:
            factor, offset = factor * scale, offset * scale + shift
        last = chain[-1][0]
        depthwise = Operator(
            name="DEPTHWISE_CONV_2D",
            inputs=[data],
            outputs=last.outputs,
            options={
                "padding": "VALID", "stride_h": 1, "stride_w": 1, "depth_multiplier": 1,
                "dilation_h_factor": 1, "dilation_w_factor": 1, "fused_activation_function": last.activation,
            },
        )  # fmt: skip
        set_weights(depthwise, factor.reshape(1, 1, 1, -1), offset)
        model.operators[model.operators.index(last)] = depthwise
        for other, _ in chain[:-1]:
            model.operators.remove(other)
        count += len(chain) - 1
    return count


def _affine_chain(model: Model, op: Operator) -> list[tuple[Operator, tuple[Tensor, Vector, Vector]]]:
    """Return the affine operators on a map that follow each other, from this one on."""
    known, chain = Readers.of(model), []
    following: Operator | None = op
    while following is not None and (found := affine(following)) and len(found[0].shape) == 4:
        chain.append((following, found))
        following = known.only_reader(following.outputs[0]) if following.activation == "NONE" else None
    return chain


# operators that a factor passes through unchanged
CARRY = (
    "MEAN",
    "SUM",
    "RESHAPE",
    "PAD",
    "SLICE",
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "TRANSPOSE",
    "RESIZE_BILINEAR",
)


def fold_into_next(model: Model) -> int:
    """Fold factors of whole tensors into the weights of all their readers, where possible; return their number."""
    count = 0
    for op in list(model.operators):
        found = affine(op) if op.name in ("MUL", "DIV") and op.activation == "NONE" else None
        if found is None or np.ptp(found[1]) > 0:
            continue
        plan: list[Operator] = []
        if not _absorbed(Readers.of(model), op.outputs[0], plan):
            continue
        for reader in plan:
            kernel, bias = weights_of(reader) or (np.zeros(0), np.zeros(0))
            set_weights(reader, kernel * float(found[1][0]), bias)
        model.replace(op.outputs[0], found[0])
        model.operators.remove(op)
        count += 1
    return count


def _absorbed(known: Readers, tensor: Tensor, plan: list[Operator]) -> bool:
    """Return whether the weights of all readers of a tensor can take over its factor; add them to the plan."""
    readers = known.readers.get(tensor, [])
    if tensor in known.outputs or not readers:
        return False
    for reader in readers:
        if weights_of(reader) is not None and reader.inputs[places(reader)[0]] is tensor:
            if reader in plan:
                return False
            plan.append(reader)
            continue
        passes = reader.name in CARRY and reader.inputs[0] is tensor
        passes |= reader.name == "MUL" and reader.activation == "NONE" and reader.inputs.count(tensor) == 1
        if not passes or not _absorbed(known, reader.outputs[0], plan):
            return False
    return True
