"""Let layers compute their channels in the order that is needed behind them, as before a PixelShuffle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.graph.simplify.edit import OUTPUTS, Readers, places, set_weights, weights_of
from quant.tflite.records import Model, Operator, Tensor

LAYERS = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")  # a depthwise one keeps the order of its input


def fold_orders(model: Model) -> int:
    """Move changes of the order of channels into the weights of the layers before them; return their number."""
    count = 0
    for apart in [op for op in model.operators if op.name == "RESHAPE"]:
        known = Readers.of(model)
        chain = _change_of_order(known, apart)
        data = apart.inputs[0]
        maker = known.only_for(data, apart)
        if chain is None or maker is None or not _computes_all(maker):
            continue
        order, last = chain
        kernel, bias = weights_of(maker) or (np.zeros(0), np.zeros(0))
        set_weights(maker, np.take(kernel, order, axis=OUTPUTS[maker.name]), bias[order])
        maker.outputs = last.outputs
        steps = (apart, known.only_reader(apart.outputs[0]), last)
        model.operators[:] = [op for op in model.operators if op not in steps]
        count += 1
    return count


def _change_of_order(known: Readers, apart: Operator) -> tuple[NDArray[np.int64], Operator] | None:
    """Return which channel comes where, and the last operator, of: channels as a table, the table turned, back."""
    turn = known.only_reader(apart.outputs[0])
    back = None if turn is None or turn.name != "TRANSPOSE" else known.only_reader(turn.outputs[0])
    data, table = apart.inputs[0], apart.outputs[0]
    if turn is None or back is None or back.name != "RESHAPE" or data is None or turn.inputs[1] is None:
        return None
    rank = len(table.shape)
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    if table.shape[:-2] != data.shape[:-1] or np.asarray(turn.inputs[1].data).tolist() != swapped:
        return None
    if back.outputs[0].shape != data.shape:
        return None
    return np.arange(data.shape[-1]).reshape(table.shape[-2:]).T.reshape(-1), back


def _computes_all(op: Operator) -> bool:
    """Whether a layer computes each of its channels from all channels of its input."""
    found = weights_of(op)
    image: Tensor | None = op.inputs[places(op)[0]]
    return (
        op.name in LAYERS
        and found is not None
        and image is not None
        and found[0].shape[-1] == image.shape[-1]
    )
