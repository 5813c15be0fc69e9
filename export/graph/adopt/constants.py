"""Convert constants to float32: half and integer weights, and values that the file computes from constants alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from quant.tflite.records import Model, Operator, Tensor
from quant.tflite.run import run_model
from rpi_runtime.errors import InputError

FLOATS = (np.dtype(np.float16), np.dtype(np.float32))


def use_float_constants(model: Model) -> int:
    """Convert constants of smaller types to float32, in place; return their number.

    Files with half weights dequantize them by an operator; files with int8 weights leave that to the kernels.
    """
    refuse_integers(model)
    count = 0
    replaced: dict[Tensor, Tensor] = {}
    for op in list(model.operators):
        source = op.inputs[0] if op.inputs else None
        if op.name == "DEQUANTIZE" and source is not None and source.data is not None:
            model.replace(op.outputs[0], _real(source, op.outputs[0].name))
            model.operators.remove(op)
            count += 1
            continue
        for index, tensor in enumerate(op.inputs):
            if tensor is None or tensor.data is None or not _is_reduced(tensor):
                continue
            if tensor not in replaced:
                replaced[tensor] = _real(tensor, tensor.name)
                count += 1
            op.inputs[index] = replaced[tensor]
    return count


def _is_reduced(tensor: Tensor) -> bool:
    return tensor.dtype == np.float16 or tensor.quantization is not None


def _real(tensor: Tensor, name: str) -> Tensor:
    return Tensor.constant(name, np.ascontiguousarray(tensor.real()).reshape(tensor.shape))


def refuse_integers(model: Model) -> None:
    """Raise `InputError` for a file that computes in integers, because its float values are lost."""
    for op in model.operators:
        for tensor in op.outputs:
            if tensor.quantization is not None and tensor.dtype in (np.int8, np.uint8, np.int16):
                raise InputError(
                    f"it is already quantized ({op.name} gives {tensor.name!r} in {tensor.dtype.name}): "
                    "give the float file, or keep this one and attach a card to it "
                    "(python -m quant.card FILE --attach CARD.toml)"
                )


def compute_constants(model: Model) -> int:
    """Replace values that do not depend on the image by constants, in place; return the number of operators removed."""
    static = {op.name for op in model.operators if op.name == "SHAPE"}
    known: set[Tensor] = set()
    fixed: list[Operator] = []
    for op in model.operators:
        inputs = [t for t in op.inputs if t is not None]
        if op.name in static or all(t.data is not None or t in known for t in inputs):
            known.update(op.outputs)
            fixed.append(op)
    if not fixed:
        return 0
    wanted = [t for op in fixed for t in op.outputs]
    values = _run(model, wanted)
    for op in fixed:
        for tensor in op.outputs:
            model.replace(tensor, Tensor.constant(tensor.name, values[tensor]))
        model.operators.remove(op)
    return len(fixed)


def _run(model: Model, wanted: list[Tensor]) -> dict[Tensor, Any]:
    """Return the values of these tensors for an empty image."""

    part = Model(
        inputs=dict(model.inputs),
        outputs={f"value{i}": t for i, t in enumerate(wanted)},
        operators=list(model.operators),
    )
    part.drop_unused()
    ((_, entry),) = model.inputs.items()
    found = run_model(part, np.zeros(entry.shape, np.float32))
    return {t: np.asarray(found[f"value{i}"]) for i, t in enumerate(wanted)}
