"""Fold zero pads into the convolutions after them, which pad without a copy."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from quant.tflite.records import Model, Operator

READERS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def fold_pads(model: Model) -> int:
    """Let convolutions whose input is padded exactly as SAME does read the map itself; return their number."""
    producers, count = model.producers(), 0
    for op in model.operators:
        if op.name not in READERS or op.options.get("padding") != "VALID" or op.inputs[0] is None:
            continue
        pad = producers.get(op.inputs[0])
        if pad is None or pad.name != "PAD" or pad.inputs[0] is None or pad.inputs[1] is None:
            continue
        if _is_same(op, pad.inputs[0].shape, np.asarray(pad.inputs[1].data)):
            op.inputs[0] = pad.inputs[0]
            op.options["padding"] = "SAME"
            count += 1
    model.drop_unused()
    return count


def _is_same(op: Operator, shape: tuple[int, ...], amounts: Any) -> bool:
    kernel = op.inputs[1]
    assert kernel is not None
    if amounts[[0, 3]].any():
        return False
    for axis, side in ((1, "h"), (2, "w")):
        stride = _whole(op, f"stride_{side}")
        extent = (kernel.shape[axis] - 1) * _whole(op, f"dilation_{side}_factor") + 1
        total = max((ceil(shape[axis] / stride) - 1) * stride + extent - shape[axis], 0)
        if (total // 2, total - total // 2) != tuple(int(n) for n in amounts[axis]):
            return False
    return True


def _whole(op: Operator, option: str) -> int:
    value = op.options.get(option, 1)
    assert isinstance(value, int)
    return value
