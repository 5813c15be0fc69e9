"""Fold factors and offsets of single channels into the layers behind: what a norm multiplies and adds at its end."""

from __future__ import annotations

import numpy as np

from export.graph.simplify.affine import Vector, affine
from export.graph.simplify.edit import Readers, set_weights, weights_of
from quant.tflite.records import Model, Operator, Tensor

LAYERS = ("FULLY_CONNECTED", "CONV_2D")


def fold_channels_into_next(model: Model) -> int:
    """Fold them where every reader is a layer over all channels that pads nothing; return their number."""
    count = 0
    for op in list(model.operators):
        found = affine(op) if op.activation == "NONE" else None
        if found is None:
            continue
        data, factor, offset = found
        layers: list[Operator] = []
        if not _reaches_layers(Readers.of(model), op.outputs[0], layers):
            continue
        for layer in layers:
            _take_in(layer, factor, offset)
        model.replace(op.outputs[0], data)
        model.operators.remove(op)
        count += 1
    return count


def _reaches_layers(known: Readers, tensor: Tensor, layers: list[Operator]) -> bool:
    """Whether layers alone read a tensor, or its reshapes that leave the channels as they are; collect them."""
    readers = known.readers.get(tensor, [])
    if tensor in known.outputs or not readers:
        return False
    for reader in readers:
        if reader.name == "RESHAPE" and reader.outputs[0].shape[-1:] == tensor.shape[-1:]:
            if not _reaches_layers(known, reader.outputs[0], layers):
                return False
        elif not _takes_in(reader, tensor) or reader in layers:
            return False
        else:
            layers.append(reader)
    return True


def _takes_in(op: Operator, tensor: Tensor) -> bool:
    found = weights_of(op)
    if op.name not in LAYERS or found is None or op.inputs[0] is not tensor:
        return False
    kernel, _ = found
    pads = op.options.get("padding") == "SAME" and kernel.shape[1:-1] != (1, 1)
    return bool(kernel.shape[-1] == tensor.shape[-1]) and not pads


def _take_in(layer: Operator, factor: Vector, offset: Vector) -> None:
    found = weights_of(layer)
    assert found is not None
    kernel, bias = found
    shift = (kernel.astype(np.float64) @ offset).reshape(len(kernel), -1).sum(axis=1)
    set_weights(layer, kernel * factor, bias + shift)
