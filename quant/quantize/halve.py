"""Weights in float16: half the file, float32 arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quant.tflite.records import Constant, Model, Operator, Tensor

SMALLEST = 16  # values; below, a conversion costs more bytes than it saves


def to_halves(model: Model) -> Model:
    """Return the network with its float constants in float16, each behind a DEQUANTIZE that runs once, at load.

    A constant with a value beyond float16's range stays float32.
    """
    conversions: list[Operator] = []

    def converted(tensor: Tensor, half: Constant) -> Tensor:
        result = Tensor(name=tensor.name, shape=tensor.shape)
        stored = Tensor.constant(f"{tensor.name}/half", half)
        conversions.append(Operator(name="DEQUANTIZE", inputs=[stored], outputs=[result]))
        return result

    made = _with_halves(model, converted)
    made.operators = [*conversions, *made.operators]
    return made


def rounded_to_halves(model: Model) -> Model:
    """Return the float32 network that `to_halves` stores: the same constants, with the values of their halves."""
    return _with_halves(model, lambda tensor, half: Tensor.constant(tensor.name, half.astype(np.float32)))


def _with_halves(model: Model, put: Callable[[Tensor, Constant], Tensor]) -> Model:
    """Return a copy with what `put` makes of each float constant and its half in the constant's place."""
    made = model.copy()
    done: dict[Tensor, Tensor] = {}
    for op in made.operators:
        for place, tensor in enumerate(op.inputs):
            if tensor is None or not _fits(tensor):
                continue
            if tensor not in done:
                assert tensor.data is not None
                done[tensor] = put(tensor, tensor.data.astype(np.float16))
            op.inputs[place] = done[tensor]
    return made


def _fits(tensor: Tensor) -> bool:
    if tensor.data is None or tensor.dtype != np.float32 or tensor.data.size < SMALLEST:
        return False
    return bool(np.abs(tensor.data).max() <= np.finfo(np.float16).max)
