"""Separate constants that are concatenated with computed values: coordinates beside channels, learned tokens.

XNNPACK takes no constant in an INT8 CONCATENATION, and a constant there would share the grid of the values beside it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from export.graph.simplify.edit import places, set_weights, weights_of
from quant.tflite.records import Model, Operator, Tensor
from quant.tflite.run import run_model

LAYERS = ("CONV_2D", "FULLY_CONNECTED")
Values = NDArray[np.float32]


def fold_known_channels(model: Model) -> int:
    """Add what layers compute from constant channels to their results; return the number of joins removed."""
    count = 0
    for join in _joins(model):
        axis, rank = join.number("axis"), len(join.outputs[0].shape)
        readers = model.readers().get(join.outputs[0], [])
        if axis % rank != rank - 1 or join.outputs[0] in model.outputs.values():
            continue
        if not readers or not all(_sees_all_channels(op, join.outputs[0]) for op in readers):
            continue
        computed = [t for t in join.inputs if t is not None and t.data is None]
        if len(computed) == 1:
            inner = computed[0]
            model.operators.remove(join)
        else:
            shape = (*join.outputs[0].shape[:-1], sum(t.shape[-1] for t in computed))
            inner = Tensor(name=f"{join.outputs[0].name}/computed", shape=shape)
            narrow = replace(join, inputs=[*computed], outputs=[inner])
            model.operators[model.operators.index(join)] = narrow
        for reader in readers:
            _split_layer(model, reader, inner, *_known(join))
        count += 1
    return count


def _joins(model: Model) -> list[Operator]:
    """Return the concatenations of computed values and float constants."""
    return [
        op
        for op in model.operators
        if op.name == "CONCATENATION"
        and op.outputs[0].dtype == np.float32
        and len({t.data is None for t in op.inputs if t is not None}) == 2
    ]


def _sees_all_channels(op: Operator, tensor: Tensor) -> bool:
    found = weights_of(op)
    return (
        op.name in LAYERS
        and found is not None
        and op.inputs[0] is tensor
        and op.inputs.count(tensor) == 1
        and found[0].shape[-1] == tensor.shape[-1]
    )


def _known(join: Operator) -> tuple[Values, NDArray[np.bool_]]:
    """Return the constant parts of a concatenation, zeros elsewhere, and which indices along its axis are computed."""
    axis, parts = join.number("axis"), [t for t in join.inputs if t is not None]
    values = [np.zeros(t.shape, np.float32) if t.data is None else t.real() for t in parts]
    computed = [np.full(t.shape[axis], t.data is None) for t in parts]
    return np.concatenate(values, axis=axis), np.concatenate(computed)


def _split_layer(
    model: Model, layer: Operator, inner: Tensor, values: Values, computed: NDArray[np.bool_]
) -> None:
    """Let a layer read the computed channels only, and add what it computes from the constant ones after it."""
    found = weights_of(layer)
    assert found is not None
    kernel, bias = found
    result = layer.outputs[0]
    bare = Tensor(name=f"{result.name}/computed", shape=result.shape)
    plain = replace(
        layer, inputs=list(layer.inputs), options=layer.options | {"fused_activation_function": "NONE"}
    )
    set_weights(plain, kernel, np.zeros_like(bias))
    image = Tensor(name="image", shape=values.shape)
    plain.inputs[places(layer)[0]] = image
    known = run_model(Model(inputs={"image": image}, outputs={"known": result}, operators=[plain]), values)[
        "known"
    ]
    offset = Tensor.constant(f"{result.name}/known", np.asarray(known, np.float32))
    options = {"fused_activation_function": layer.activation}
    total = Operator(name="ADD", inputs=[bare, offset], outputs=[result], options=dict(options))
    layer.outputs = [bare]
    layer.options["fused_activation_function"] = "NONE"
    layer.inputs[places(layer)[0]] = inner
    set_weights(layer, kernel[..., computed], bias)
    model.operators.insert(model.operators.index(layer) + 1, total)


def write_out_known_parts(model: Model) -> int:
    """Pad computed values with zeros, and add the constants there; return the number of joins removed.

    Along the last axis a layer pads them, so that each channel can be equalized separately.
    """
    count = 0
    for join in _joins(model):
        values, computed = _known(join)
        result = join.outputs[0]
        made, inner = _extended(join, computed)
        offset = Tensor.constant(f"{result.name}/known", values)
        total = Operator(name="ADD", inputs=[inner, offset], outputs=[result])
        place = model.operators.index(join)
        model.operators[place : place + 1] = [*made, total]
        count += 1
    return count


def _extended(join: Operator, computed: NDArray[np.bool_]) -> tuple[list[Operator], Tensor]:
    """Return the operators that put the computed values in their place, with zeros elsewhere."""
    result = join.outputs[0]
    axis = join.number("axis") % len(result.shape)
    made: list[Operator] = []
    parts = [t for t in join.inputs if t is not None and t.data is None]
    inner = parts[0]
    if len(parts) > 1:
        shape = list(result.shape)
        shape[axis] = int(computed.sum())
        inner = Tensor(name=f"{result.name}/computed", shape=tuple(shape))
        made.append(replace(join, inputs=[*parts], outputs=[inner]))
    whole = Tensor(name=f"{result.name}/extended", shape=result.shape)
    if axis == len(result.shape) - 1:
        layer = Operator(
            name="FULLY_CONNECTED", inputs=[inner], outputs=[whole], options={"keep_num_dims": True}
        )
        set_weights(layer, np.eye(len(computed))[:, computed], np.zeros(len(computed)))
        return [*made, layer], whole
    return [*made, *_padded(inner, whole, axis, computed)], whole


def _padded(inner: Tensor, whole: Tensor, axis: int, computed: NDArray[np.bool_]) -> list[Operator]:
    """Return a PAD; if constants lie between computed values, one PAD for each run of them, and their sum."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], computed.astype(np.int8), [0]])))
    made: list[Operator] = []
    total: Tensor | None = None
    taken = 0
    for run, (first, end) in enumerate(edges.reshape(-1, 2).tolist()):
        piece, last = inner, end == edges[-1]
        if len(edges) > 2:
            begin, shape = [0] * len(whole.shape), list(inner.shape)
            begin[axis], shape[axis] = taken, end - first
            piece = Tensor(name=f"{whole.name}/part{run}", shape=tuple(shape))
            numbers = [
                Tensor.constant(f"{piece.name}/{i}", np.array(n, np.int32))
                for i, n in enumerate((begin, shape))
            ]
            made.append(Operator(name="SLICE", inputs=[inner, *numbers], outputs=[piece]))
        taken += end - first
        amounts = np.zeros((len(whole.shape), 2), np.int32)
        amounts[axis] = first, whole.shape[axis] - end
        alone = total is None and last
        spread = whole if alone else Tensor(name=f"{whole.name}/spread{run}", shape=whole.shape)
        made.append(
            Operator(
                name="PAD", inputs=[piece, Tensor.constant(f"{spread.name}/pads", amounts)], outputs=[spread]
            )
        )
        if total is not None:
            joined = whole if last else Tensor(name=f"{whole.name}/sum{run}", shape=whole.shape)
            made.append(Operator(name="ADD", inputs=[total, spread], outputs=[joined]))
            spread = joined
        total = spread
    return made
