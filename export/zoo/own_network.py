"""A network of the user's own: an ONNX file or a .tflite, and a card in TOML that says what it is."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import onnx

from export.graph.adopt.network import from_tflite, read_tflite
from export.graph.convert.layout import CHANNELS_LAST, Order, Shape
from export.graph.float_model import FloatModel, sample_images
from export.graph.from_onnx import TensorLayout, from_onnx
from export.graph.heads import own_outputs, split_outputs
from export.graph.normalisation import prepend_normalisation
from export.graph.tidy.read import read_onnx
from export.zoo.inputs import is_plain, plain_input
from export.zoo.network import Network
from quant.cards.attach import AS_GIVEN
from quant.cards.compare import disagreements
from quant.cards.read import check_card_name, read_own_card
from rpi_runtime.errors import CardError
from rpi_runtime.inputs import shown_name
from rpi_runtime.installing import python_here
from rpi_runtime.model.card import InputSpec, ModelCard, Provenance, read_card
from rpi_runtime.model.outputs import tensor_shape

Convert = Callable[[InputSpec, list[str], TensorLayout], FloatModel]


def own_network(file: Path, card_source: Path | str) -> Network:
    """Return the network that an ONNX file and a card describe; `InputError` or `CardError` when they do not fit.

    Parameters
    ----------
    file : path
    card_source : path or str
        A TOML file, or the name of a card in `quant.cards`.
    """
    card = read_own_card(str(card_source))
    name = shown_name(Path(card_source))
    model, digest = read_onnx(file)

    def convert(spec: InputSpec, outputs: list[str], layout: TensorLayout) -> FloatModel:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return from_onnx(copy, str(file), spec, outputs, layout)

    return _network(file, card, name, digest, "onnx", convert)


def own_tflite(file: Path, card_source: Path | str = "") -> Network:
    """Return the network that a float, half or int8-weight .tflite and a card describe.

    Parameters
    ----------
    file : path
    card_source : path or str
        As of `own_network`; "" for the card inside the file.

    Raises
    ------
    InputError
        The file cannot be used.
    CardError
        There is no card, or it is unlike the card inside the file.
    """
    data = read_tflite(file)
    card = _card_of(file, str(card_source))
    name = shown_name(Path(card_source)) if card_source else "the card inside it"

    def convert(spec: InputSpec, outputs: list[str], layout: TensorLayout) -> FloatModel:
        return from_tflite(data, str(file), spec, outputs, layout)

    return _network(file, card, name, sha256(data).hexdigest(), "tflite", convert)


def _card_of(file: Path, source: str) -> ModelCard:
    """The card to take a .tflite by: the given one, unless the file has one that says otherwise, or the file's own."""
    if not source:
        try:
            return check_card_name(read_card(file), file)
        except CardError as err:
            raise CardError(
                err.what,
                remedy="give --card FILE.toml, or the name of a card (--list-cards); "
                "python -m quant.card --describe FILE begins one",
            ) from err
    given = read_own_card(source)
    try:
        inside = read_card(file)
    except CardError:
        return given  # it has none, or none that can be read
    if found := disagreements(inside, given):
        remedy = "leave --card out, to take the card inside"
        if inside.recipe == AS_GIVEN:
            command = f"{python_here()} -m quant.card {shlex.join([str(file), '--attach', source])}"
            remedy += f"; or, where that one is wrong, replace it: {command}"
        what = f"{file}: the card inside it says {'; '.join(found)} as --card {source}"
        raise CardError(what, remedy=remedy)
    return given


def _network(
    file: Path, card: ModelCard, card_name: str, digest: str, graph: str, convert: Convert
) -> Network:
    origin = Provenance(
        weights_source=shown_name(file),
        weights_sha256=digest,
        weights_licence=card.provenance.weights_licence or "as the file's owner says",
        weights_data=card.provenance.weights_data,
        weights_graph=graph,
    )
    maps = tuple(replace(o, axes="hwc") if o.axes == "chw" else o for o in card.outputs)
    outputs, parts = own_outputs(maps)
    described = replace(card, provenance=origin, input=plain_input(card.input), outputs=outputs)

    def build(spec: InputSpec) -> FloatModel:
        at = replace(described, input=spec, outputs=maps)
        wanted = {o.name: tensor_shape(at, o) for o in at.outputs}
        inner = replace(card.input, width=spec.width, height=spec.height)
        made = convert(inner, list(wanted), lambda name, shape: layout_of(name, shape, wanted[name], file))
        made = split_outputs(made, parts, sample_images(inner)[0])
        if not is_plain(card.input):
            prepend_normalisation(made.model, card.input)
        return made

    notes = (f"{shown_name(file)}, described by {card_name}",)
    return Network(card=described, build=build, notes=notes)


def layout_of(name: str, shape: Shape, wanted: Shape, path: Path) -> Order:
    """The order of axes in which a value of this shape becomes the tensor that the card describes.

    Raises
    ------
    CardError
        No order of the axes fits.
    """
    plain = tuple(range(len(shape)))
    for order in (CHANNELS_LAST, plain, (0, 3, 1, 2), (0, 2, 1)):
        if len(order) == len(shape) and tuple(shape[axis] for axis in order) == wanted:
            return order
    raise CardError(
        f"{path}: output {name} is {shape}, the card says {wanted}; correct its channels, stride, axes or rows, or the "
        "input's size"
    )
