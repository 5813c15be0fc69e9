"""Convert a .tflite: cut it at the card's outputs, make constants float, replace operators, and compare the result."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from export.graph.adopt.constants import compute_constants, use_float_constants
from export.graph.adopt.forms import FORMS
from export.graph.convert.layout import Order, Shape
from export.graph.convert.network import IMAGE
from export.graph.convert.refusal import RefusalError
from export.graph.convert.scope import Scope
from export.graph.float_model import FloatModel, sample_images
from export.graph.from_onnx import TensorLayout
from export.graph.parity import Parity, compare
from export.graph.simplify.passes import simplify
from quant.tflite.read import read_model
from quant.tflite.records import Model, Operator, Tensor
from quant.tflite.run import Runner
from quant.tflite.schema import IDENTIFIER
from rpi_runtime.errors import InputError, ParityError
from rpi_runtime.files import reading
from rpi_runtime.model.card import InputSpec

LARGEST = 1 << 30  # bytes


def read_network(path: Path) -> bytes:
    """Return the bytes of a file; raises `InputError` if it cannot be read or is too large."""
    with reading(path, "make it readable, or give another file"):
        if not path.is_file():
            raise InputError(f"{path}: not a file; give the path of the network")
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"{path}: larger than {LARGEST >> 20} MiB; that is no network for a Raspberry Pi"
            )
        return path.read_bytes()


def read_tflite(path: Path) -> bytes:
    """Return the bytes of a .tflite; raises `InputError` if it cannot be read or is another kind of file."""
    data = read_network(path)
    if data[4:8] != IDENTIFIER:
        raise InputError(f"{path}: not a TFLite file; give a .tflite, or an ONNX file with --onnx")
    return data


def plain_layout(name: str, shape: Shape) -> Order:
    """Return an order of axes that leaves an output as it is."""
    return tuple(range(len(shape)))


def from_tflite(
    data: bytes, path: str, spec: InputSpec, outputs: Sequence[str], layout: TensorLayout = plain_layout
) -> FloatModel:
    """Convert a .tflite.

    Parameters
    ----------
    data : bytes
        The contents of a verified file.
    path : str
        Name of the file in messages.
    spec : InputSpec
        Input size, and the normalisation that the network itself expects.
    outputs : sequence of str
        Names of the signature's outputs, or of tensors inside, at which the network ends.
    layout : callable
        Takes the name and shape of an output; returns the order of its axes.

    Raises
    ------
    InputError
        The input is not one float image of this size, the file is quantized, or an output is missing.
    ParityError
        An operator cannot be converted, or the result computes something else.
    """
    try:
        model = read_model(data)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err
    _check_input(model, path, spec)
    _cut(model, outputs, path)
    try:
        use_float_constants(model)
        model.drop_unused()
        compute_constants(model)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err
    before = Model(
        inputs=dict(model.inputs),
        outputs=dict(model.outputs),
        operators=[_copy(op) for op in model.operators],
    )
    result = _taken_over(model, path, {name: layout(name, t.shape) for name, t in model.outputs.items()})
    done = simplify(result)
    return FloatModel(
        model=result,
        parities=tuple(_compared(before, result, spec, layout)),
        notes=tuple(f"{count} {what}" for what, count in done.items()),
    )


def _check_input(model: Model, path: str, spec: InputSpec) -> None:
    described = ", ".join(f"{n} {t.dtype.name} {list(t.shape)}" for n, t in model.inputs.items())
    shapes = ((1, spec.height, spec.width, 3), (1, 3, spec.height, spec.width))
    if len(model.inputs) != 1 or next(iter(model.inputs.values())).shape not in shapes:
        raise InputError(
            f"{path}: input {described}, expected one image {list(shapes[0])}; correct the card's size"
        )
    if next(iter(model.inputs.values())).dtype != np.float32:
        raise InputError(
            f"{path}: input {described}: it is already quantized; give the float file, or keep this one and attach "
            "a card to it (python -m quant.card FILE --attach CARD.toml)"
        )


def _cut(model: Model, outputs: Sequence[str], path: str) -> None:
    inside = {t.name: t for op in model.operators for t in op.outputs}
    known = {**inside, **model.outputs}
    for name in outputs:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InputError(
                f"{path}: no output {name}; it has {', '.join(model.outputs)}"
                + (f", and inside {near[0]!r}" if near and near[0] not in model.outputs else "")
                + ": correct the card (python -m quant.card --describe FILE lists what it can name)"
            )
    model.outputs = {name: known[name] for name in outputs}
    model.drop_unused()


def _copy(op: Operator) -> Operator:
    return Operator(
        name=op.name, inputs=list(op.inputs), outputs=list(op.outputs), options=dict(op.options), custom=op.custom,
        version=op.version,
    )  # fmt: skip


def _taken_over(model: Model, path: str, orders: dict[str, Order]) -> Model:
    """Return the same network in the forms that the rest of the export expects."""
    ((_, entry),) = model.inputs.items()
    scope = Scope(0, {})
    image = Tensor(name=IMAGE, shape=entry.shape)
    new: dict[Tensor, Tensor] = {entry: image}
    if entry.shape[3] != 3:
        height, width = entry.shape[2:]
        image = Tensor(name=IMAGE, shape=(1, height, width, 3))
        new[entry] = scope.rearrange_axes(image, (0, 3, 1, 2))
    for op in model.operators:
        inputs = [None if t is None else new.get(t, t) for t in op.inputs]
        scope.label(op.outputs[0].name)
        try:
            made = _converted(scope, op, inputs)
        except RefusalError as err:
            raise ParityError(
                f"{path}: operator {op.name} cannot be taken over (tensor {op.outputs[0].name!r}): {err}; see the "
                "table of operators in export/docs/networks-of-your-own.md"
            ) from err
        new.update(zip(op.outputs, made, strict=True))
    outputs: dict[str, Tensor] = {}
    for name, tensor in model.outputs.items():
        order, result = orders[name], new[tensor]
        outputs[name] = result if order == tuple(range(len(order))) else scope.rearrange_axes(result, order)
    return Model(inputs={IMAGE: image}, outputs=outputs, operators=scope.operators, description="pipose")


def _converted(scope: Scope, op: Operator, inputs: list[Tensor | None]) -> list[Tensor]:
    if op.custom is not None:
        raise RefusalError("it is an operator of the file's maker, which no interpreter here has")
    form = FORMS.get(op.name)
    made = form(scope, op, inputs) if form is not None else None
    if made is None:
        scope.operators.append(
            Operator(
                name=op.name, inputs=inputs, outputs=op.outputs, options=dict(op.options), version=op.version
            )
        )
        return op.outputs
    return made


def _compared(before: Model, after: Model, spec: InputSpec, layout: TensorLayout) -> list[Parity]:
    """Compare the result with the given file, whose constants are made float."""
    first, second = Runner(before), Runner(after)
    ((_, entry),) = before.inputs.items()
    parities: list[Parity] = []
    for image in sample_images(spec):
        given = image if entry.shape == image.shape else image.transpose(0, 3, 1, 2)
        expected = {name: np.asarray(v, np.float32) for name, v in first(given).items()}
        expected = {name: v.transpose(layout(name, v.shape)) for name, v in expected.items()}
        parities = compare("given -> tflite", expected, second(image))
    return parities
