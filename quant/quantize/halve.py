"""Weights in float16: half the file, float32 arithmetic."""

from __future__ import annotations

import numpy as np

from quant.tflite.records import Model, Operator, Tensor

SMALLEST = 16  # values; below, a conversion costs more bytes than it saves


def to_halves(model: Model) -> Model:
    """Return the network with its float constants in float16, each behind a DEQUANTIZE that runs once, at load.

    A constant with a value beyond float16's range stays float32.
    """
    made = model.copy()
    halves: dict[Tensor, Tensor] = {}
    conversions = []
    for op in made.operators:
        for place, tensor in enumerate(op.inputs):
            if tensor is None or not _fits(tensor):
                continue
            if tensor not in halves:
                assert tensor.data is not None
                half = Tensor.constant(f"{tensor.name}/half", tensor.data.astype(np.float16))
                halves[tensor] = Tensor(name=tensor.name, shape=tensor.shape)
                conversions.append(Operator(name="DEQUANTIZE", inputs=[half], outputs=[halves[tensor]]))
            op.inputs[place] = halves[tensor]
    made.operators = [*conversions, *made.operators]
    return made


def rounded_to_halves(model: Model) -> Model:
    """Return the float32 network that `to_halves` stores: the same constants, with the values of their halves."""
    made = model.copy()
    rounded: dict[Tensor, Tensor] = {}
    for op in made.operators:
        for place, tensor in enumerate(op.inputs):
            if tensor is None or not _fits(tensor):
                continue
            if tensor not in rounded:
                assert tensor.data is not None
                values = tensor.data.astype(np.float16).astype(np.float32)
                rounded[tensor] = Tensor.constant(tensor.name, values)
            op.inputs[place] = rounded[tensor]
    return made


def _fits(tensor: Tensor) -> bool:
    if tensor.data is None or tensor.dtype != np.float32 or tensor.data.size < SMALLEST:
        return False
    return bool(np.abs(tensor.data).max() <= np.finfo(np.float16).max)
