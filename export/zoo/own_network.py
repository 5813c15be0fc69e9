"""A network of the user's own: an ONNX file and a card in TOML that describes it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from export.graph.graph import OnnxGraph, from_file
from export.graph.normalisation import prepend_normalisation
from export.graph.parity import Parity
from export.weights.download import checksum
from export.zoo.inputs import is_plain, plain_input
from export.zoo.network import Network
from rpi_runtime.errors import CardError
from rpi_runtime.files import reading
from rpi_runtime.inputs import parse_toml, read_input, shown_name
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Provenance

MOST_BYTES = 1 << 20  # of a card
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def own_network(onnx_file: Path, card_file: Path) -> Network:
    """Return the network of the two files; raises `InputError` or `CardError` if they do not fit."""
    card = read_toml_card(card_file)
    with reading(onnx_file, "make it readable, or give --onnx another file"):
        digest = checksum(onnx_file) if onnx_file.is_file() else ""
    origin = Provenance(
        weights_source=shown_name(onnx_file),
        weights_sha256=digest,
        weights_licence=card.provenance.weights_licence or "as the file's owner says",
        weights_graph="onnx",
    )
    described = replace(card, provenance=origin, input=plain_input(card.input))
    return Network(
        card=described,
        build=lambda spec: _build(onnx_file, card.input, spec, described),
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
    path: Path, normalisation: InputSpec, spec: InputSpec, card: ModelCard
) -> tuple[OnnxGraph, list[Parity]]:
    graph = from_file(str(path), spec.width, spec.height, [o.name for o in card.outputs])
    for output in card.outputs:
        _check_output(graph, output, spec, path)
    if not is_plain(normalisation):
        prepend_normalisation(graph, normalisation)
    return graph, []


def _check_output(graph: OnnxGraph, output: OutputSpec, spec: InputSpec, path: Path) -> None:
    (info,) = (o for o in graph.model.graph.output if o.name == output.name)
    shape = tuple(int(d.dim_value) for d in info.type.tensor_type.shape.dim)
    want = (1, output.channels, -(-spec.height // output.stride), -(-spec.width // output.stride))
    if shape != want:
        raise CardError(
            f"{path}: output {output.name} is {shape}, the card says {want} ({output.channels} channels, stride "
            f"{output.stride} at {spec.size}); correct the card, or this is not a pose network of this kind"
        )
