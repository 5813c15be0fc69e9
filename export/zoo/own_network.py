"""A network of the user's own: an ONNX file and a card in TOML that describes it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import onnx

from export.graph.convert.layout import CHANNELS_LAST
from export.graph.float_model import FloatModel
from export.graph.from_onnx import from_onnx
from export.graph.normalisation import prepend_normalisation
from export.graph.tidy.read import read_onnx
from export.zoo.inputs import is_plain, plain_input
from export.zoo.network import Network
from rpi_runtime.errors import CardError
from rpi_runtime.inputs import parse_toml, read_input, shown_name
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Provenance

MOST_BYTES = 1 << 20  # of a card
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def own_network(onnx_file: Path, card_file: Path) -> Network:
    """Return the network of the two files; raises `InputError` or `CardError` if they do not fit."""
    card = read_toml_card(card_file)
    model, digest = read_onnx(onnx_file)
    origin = Provenance(
        weights_source=shown_name(onnx_file),
        weights_sha256=digest,
        weights_licence=card.provenance.weights_licence or "as the file's owner says",
        weights_graph="onnx",
    )
    described = replace(card, provenance=origin, input=plain_input(card.input))
    return Network(
        card=described,
        build=lambda spec: _build(model, onnx_file, card.input, spec, described),
        notes=(f"{shown_name(onnx_file)}, described by {shown_name(card_file)}",),
    )


def read_toml_card(path: Path) -> ModelCard:
    """Read a card written by hand."""
    try:
        text = read_input(path, MOST_BYTES)
    except OSError as err:
        raise CardError(f"{path}: cannot be read ({err.strerror}); --onnx needs --card FILE.toml") from err
    data = parse_toml(text, path, "correct it; the README has an example", CardError)
    try:
        card = ModelCard.from_mapping(data)
    except CardError as err:
        raise CardError(f"{path}: {err}") from err
    if not NAME.fullmatch(card.name):
        raise CardError(
            f"{path}: name {card.name!r} becomes a file name; expected letters, digits, '.', '_' and '-'"
        )
    return card


def _build(
    model: onnx.ModelProto, path: Path, normalisation: InputSpec, spec: InputSpec, card: ModelCard
) -> FloatModel:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    outputs = {o.name: o for o in card.outputs}
    inner = replace(normalisation, width=spec.width, height=spec.height)

    def layout(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        return layout_of(outputs[name], shape, spec, path)

    made = from_onnx(copy, str(path), inner, list(outputs), layout)
    if not is_plain(normalisation):
        prepend_normalisation(made.model, normalisation)
    return made


def layout_of(output: OutputSpec, shape: tuple[int, ...], spec: InputSpec, path: Path) -> tuple[int, ...]:
    """The order that puts an output's channels last; `CardError` where it is not what the card says."""
    height, width = -(-spec.height // output.stride), -(-spec.width // output.stride)
    if shape == (1, output.channels, height, width):
        return CHANNELS_LAST
    if shape == (1, height, width, output.channels):
        return (0, 1, 2, 3)
    raise CardError(
        f"{path}: output {output.name} is {shape}, the card says {(1, output.channels, height, width)} "
        f"({output.channels} channels, stride {output.stride} at {spec.size}); correct the card, or this is not a "
        "pose network of this kind"
    )
