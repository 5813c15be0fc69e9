"""Fuse clamps into the operators before them: XNNPACK has no INT8 kernel for a clamp alone."""

from __future__ import annotations

import numpy as np

from export.graph.simplify.edit import Readers
from quant.tflite.records import Model, Operator, Tensor

CLAMPS = ("RELU", "RELU6", "RELU_N1_TO_1")
# operators that clamp their result at no cost
ENDING = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "SUB", "MUL", "MAX_POOL_2D",
)  # fmt: skip
# operators that only arrange data, so that a clamp may move before them
ARRANGING = (
    "RESHAPE",
    "TRANSPOSE",
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "SLICE",
    "CONCATENATION",
    "MAX_POOL_2D",
    "PAD",
)


def fuse_clamps(model: Model) -> int:
    """Fuse clamps into the operators that compute their input for them alone; return their number."""
    count = 0
    known = Readers.of(model)
    for clamp in [op for op in model.operators if op.name in CLAMPS]:
        maker = known.only_for(clamp.inputs[0], clamp)
        if maker is None or maker.name not in ENDING or maker.activation not in ("NONE", clamp.name):
            continue
        maker.options["fused_activation_function"] = clamp.name
        maker.outputs = clamp.outputs
        known.producers[clamp.outputs[0]] = maker
        model.operators.remove(clamp)
        count += 1
    return count


def lift_clamps(model: Model) -> int:
    """Move clamps before operators that only arrange, if they can be fused there; return their number."""
    count = 0
    for clamp in [op for op in model.operators if op.name in CLAMPS]:
        known = Readers.of(model)
        arranging = known.only_for(clamp.inputs[0], clamp)
        if arranging is None or not _lifts(known, clamp, arranging):
            continue
        place = model.operators.index(arranging)
        for source in list(dict.fromkeys(_data(arranging))):
            clamped = Tensor(
                name=f"{source.name}/{clamp.name.lower()}", shape=source.shape, dtype=source.dtype
            )
            arranging.inputs = [clamped if t is source else t for t in arranging.inputs]
            model.operators.insert(place, Operator(name=clamp.name, inputs=[source], outputs=[clamped]))
        arranging.outputs = clamp.outputs
        model.operators.remove(clamp)
        count += 1
    return count


def _data(op: Operator) -> list[Tensor]:
    tensors = op.inputs if op.name == "CONCATENATION" else op.inputs[:1]
    return [t for t in tensors if t is not None]


def _lifts(known: Readers, clamp: Operator, op: Operator) -> bool:
    """Return whether each source of an arranging operator can end in the clamp."""
    if op.name not in ARRANGING or op.activation != "NONE":
        return False
    for source in _data(op):
        maker = known.only_for(source, op)
        if maker is None:
            return False
        ends = maker.name in ENDING and maker.activation in ("NONE", clamp.name)
        if not ends and not _lifts(known, clamp, maker):
            return False
    return True


def write_out_clamps(model: Model) -> int:
    """Replace clamps that stand alone by sums with zero, for which XNNPACK has an INT8 kernel; return their number."""
    count = 0
    for clamp in [op for op in model.operators if op.name in CLAMPS]:
        output = clamp.outputs[0]
        if output.dtype != np.float32:
            continue
        zero = Tensor.constant(f"{output.name}/zero", np.zeros((1,) * len(output.shape), np.float32))
        model.operators[model.operators.index(clamp)] = Operator(
            name="ADD",
            inputs=[clamp.inputs[0], zero],
            outputs=clamp.outputs,
            options={"fused_activation_function": clamp.name},
        )
        count += 1
    return count
