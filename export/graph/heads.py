"""Split outputs that a card calls parts of one tensor into tensors of their own.

A tensor has one grid in INT8. If a detector puts the logit of a score beside distances of two hundred pixels, the step
is nearly a whole unit: scores have a dozen levels, and the order of the people found is lost. The cut moves up from the
output, through operators that only move values or treat each value alone, to a concatenation, whose operands are the
parts, or into a convolution, whose output channels are the parts. This is exact in float and adds no work. If another
operator is in the way, a SLICE remains, and the parts keep one grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cython_ext.specs import Floats
from export.graph.float_model import FloatModel
from export.graph.parity import compare
from quant.quantize.rules import BIAS_PLACES, WEIGHT_AXES, image_of
from quant.tflite.records import Constant, Model, Operator, Option, Tensor
from quant.tflite.run import run_model
from rpi_runtime.model.card import OutputSpec

# these treat each value alone, so a part of the result needs the same part of the operands
ALONE = frozenset(
    ("ADD", "SUB", "MUL", "DIV", "LOGISTIC", "TANH", "RELU", "RELU6", "EXP", "ELU", "NEG", "ABS", "SQUARE", "SQRT",
     "HARD_SWISH", "LEAKY_RELU", "MAXIMUM", "MINIMUM")
)  # fmt: skip
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some channels of an output.

    Attributes
    ----------
    name : str
        Name as an output of its own.
    axis : int
        Axis of the channels.
    first, count : int
    """

    name: str
    axis: int
    first: int
    count: int


def own_outputs(outputs: Iterable[OutputSpec]) -> tuple[tuple[OutputSpec, ...], dict[str, tuple[Part, ...]]]:
    """Return a card's outputs, each part of a tensor as a tensor of its own, and the parts by the tensor's name.

    A tensor whose parts overlap stays whole.
    """
    outputs = tuple(outputs)
    parts: dict[str, dict[tuple[int, int], Part]] = {}
    taken = {o.name for o in outputs}
    for o in outputs:
        known = parts.setdefault(o.name, {})
        if (o.first, o.channels) not in known:
            name = _free(f"{o.name}_{o.role}", taken)
            axis = 1 if o.axes in ("chw", "columns") else -1
            known[o.first, o.channels] = Part(name=name, axis=axis, first=o.first, count=o.channels)
    split = {
        name: tuple(known.values()) for name, known in parts.items() if len(known) > 1 and not _overlap(known)
    }
    made = (
        replace(o, name=parts[o.name][o.first, o.channels].name, first=0) if o.name in split else o
        for o in outputs
    )
    return tuple(made), split


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _overlap(ranges: Iterable[tuple[int, int]]) -> bool:
    end = 0
    for first, count in sorted(ranges):
        if first < end:
            return True
        end = first + count
    return False


def split_outputs(made: FloatModel, parts: Mapping[str, Sequence[Part]], image: Floats) -> FloatModel:
    """Return a network whose outputs are the parts instead of the tensors that hold them.

    Parameters
    ----------
    made : FloatModel
    parts : mapping of str to sequence of Part
    image : ndarray, (1, H, W, 3) float32
        Input of the comparison before and after.

    Raises
    ------
    ParityError
        A part has other values than before.
    """
    if not parts:
        return made
    model = made.model.copy()
    _split(model, parts)
    whole, after = run_model(made.model, image), run_model(model, image)
    before = {name: whole[name] for name in whole if name not in parts}
    for name, pieces in parts.items():
        for p in pieces:
            before[p.name] = np.take(whole[name], range(p.first, p.first + p.count), axis=p.axis)
    parities = compare("whole -> parts", before, after)
    count = sum(map(len, parts.values()))
    return replace(
        made,
        model=model,
        parities=(*made.parities, *parities),
        notes=(*made.notes, f"{count} parts of outputs with a grid of their own"),
    )


def _split(model: Model, parts: Mapping[str, Sequence[Part]]) -> None:
    split = _Splitter(model)
    outputs: dict[str, Tensor] = {}
    for name, tensor in model.outputs.items():
        if name not in parts:
            outputs[name] = tensor
        for part in parts.get(name, ()):
            outputs[part.name] = split(tensor, part.axis % len(tensor.shape), part.first, part.count)
    model.outputs = outputs
    model.drop_unused()


class _Splitter:
    """Makes parts of tensors. It appends operators, each after the operators whose results it reads."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._producers, self._readers = model.producers(), model.readers()
        self._names = {t.name for t in model.tensors()}

    def __call__(self, tensor: Tensor, axis: int, first: int, count: int, asking: int = 0) -> Tensor:
        """Return the part. `asking` is the number of operators that read the tensor for this cut alone."""
        if count == tensor.shape[axis]:
            return tensor
        op = self._producers.get(tensor)
        through = _THROUGH.get(op.name) if op is not None else None
        # a value with other readers would be computed twice
        if op is not None and through is not None and len(self._readers.get(tensor, ())) <= asking:
            made = through(self, op, axis, first, count)
            if made is not None:
                return made
        begin, size = np.zeros(len(tensor.shape), np.int32), np.array(tensor.shape, np.int32)
        begin[axis], size[axis] = first, count
        steps = [self.constant(tensor, begin, "begin"), self.constant(tensor, size, "size")]
        return self.emit("SLICE", tensor, [tensor, *steps], size.tolist(), {})

    def emit(
        self,
        kind: str,
        like: Tensor,
        inputs: list[Tensor | None],
        shape: Iterable[int],
        options: dict[str, Option],
    ) -> Tensor:
        """Add an operator whose result is a part of `like`."""
        made = Tensor(name=self._name(f"{like.name}/part"), shape=tuple(shape), dtype=like.dtype)
        op = Operator(name=kind, inputs=inputs, outputs=[made], options=options)
        self._model.operators.append(op)
        return made

    def constant(self, like: Tensor, data: Constant, what: str) -> Tensor:
        """Return a new constant."""
        return Tensor.constant(self._name(f"{like.name}/{what}"), np.ascontiguousarray(data))

    def _name(self, base: str) -> str:
        name, number = base, 0
        while name in self._names:
            number += 1
            name = f"{base}.{number}"
        self._names.add(name)
        return name


def _shape(op: Operator, axis: int, count: int) -> list[int]:
    shape = list(op.outputs[0].shape)
    shape[axis] = count
    return shape


def _concatenation(split: _Splitter, op: Operator, axis: int, first: int, count: int) -> Tensor | None:
    along, rank = op.number("axis"), len(op.outputs[0].shape)
    pieces, start = [], 0
    for tensor in op.inputs:
        assert tensor is not None
        if along % rank != axis:
            pieces.append(split(tensor, axis, first, count, 1))
            continue
        low, high = max(first, start), min(first + count, start + tensor.shape[axis])
        if low < high:
            pieces.append(split(tensor, axis, low - start, high - low, 1))
        start += tensor.shape[axis]
    if len(pieces) == 1:
        return pieces[0]
    return split.emit("CONCATENATION", op.outputs[0], [*pieces], _shape(op, axis, count), dict(op.options))


def _transpose(split: _Splitter, op: Operator, axis: int, first: int, count: int) -> Tensor | None:
    image, order = op.inputs
    if image is None or order is None or order.data is None:
        return None
    piece = split(image, int(order.data[axis]), first, count, 1)
    return split.emit("TRANSPOSE", op.outputs[0], [piece, order], _shape(op, axis, count), dict(op.options))


def _reshape(split: _Splitter, op: Operator, axis: int, first: int, count: int) -> Tensor | None:
    """Take the part before a reshape that leaves the channels an axis of their own."""
    (image, *_), result = op.inputs, op.outputs[0]
    assert image is not None
    before = np.prod(result.shape[:axis])
    same = [
        i for i, n in enumerate(image.shape) if n == result.shape[axis] and np.prod(image.shape[:i]) == before
    ]
    if not same:
        return None
    shape = _shape(op, axis, count)
    sizes = split.constant(result, np.array(shape, np.int32), "shape")
    piece = split(image, same[0], first, count, 1)
    return split.emit("RESHAPE", result, [piece, sizes], shape, {"new_shape": tuple(shape)})


def _alone(split: _Splitter, op: Operator, axis: int, first: int, count: int) -> Tensor | None:
    result = op.outputs[0]
    behind = len(result.shape) - axis  # operands are aligned at their last axis
    operands: list[Tensor | None] = []
    for tensor in op.inputs:
        assert tensor is not None
        place = len(tensor.shape) - behind
        if place < 0 or tensor.shape[place] == 1:
            operands.append(tensor)
        elif tensor.data is not None:
            data = np.take(tensor.data, range(first, first + count), axis=place)
            operands.append(replace(split.constant(tensor, data, "part"), quantization=tensor.quantization))
        else:
            operands.append(split(tensor, place, first, count, 1))
    return split.emit(op.name, result, operands, _shape(op, axis, count), dict(op.options))


def _layer(split: _Splitter, op: Operator, axis: int, first: int, count: int) -> Tensor | None:
    """Take output channels of weights and bias."""
    weights, image, result = op.inputs[1], image_of(op), op.outputs[0]
    if weights is None or weights.data is None or axis != len(result.shape) - 1:
        return None
    chosen, depthwise = range(first, first + count), op.name == "DEPTHWISE_CONV_2D"
    if depthwise and image.shape[-1] != weights.shape[-1]:
        return None
    if op.name == "CONV_2D" and image.shape[-1] != weights.shape[-1]:  # grouped
        return None
    piece = split(image, len(image.shape) - 1, first, count, 1) if depthwise else image
    inputs = [
        piece,
        split.constant(weights, np.take(weights.data, chosen, axis=WEIGHT_AXES[op.name]), "part"),
    ]
    place = BIAS_PLACES[op.name]
    bias = op.inputs[place] if len(op.inputs) > place else None
    if bias is not None:
        if bias.data is None:
            return None
        inputs.append(split.constant(bias, bias.data[first : first + count], "part"))
    return split.emit(op.name, result, [*inputs], _shape(op, axis, count), dict(op.options))


_THROUGH: dict[str, Callable[[_Splitter, Operator, int, int, int], Tensor | None]] = {
    "CONCATENATION": _concatenation,
    "TRANSPOSE": _transpose,
    "RESHAPE": _reshape,
    **dict.fromkeys(ALONE, _alone),
    **dict.fromkeys(LAYERS, _layer),
}
