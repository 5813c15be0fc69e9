"""Check that a model card fits the tensors of its file. The error names the difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec
from rpi_runtime.model.outputs import tensor_shape
from rpi_runtime.model.verify.graph import Graph

# Largest distance, in steps of the stored int8, between the meaning of an input value by the card and by the tensor's
# quantization. Calibration finds the range from data, so it is not exactly 0.
LARGEST_INPUT_ERROR = 0.5


def check_structure(card: ModelCard, graph: Graph) -> None:
    """Compare a card with a verified file, before an interpreter sees either.

    Raises
    ------
    CardError
        The file does not have exactly one input and one signature, or lacks tensors of the card.
    """
    if len(graph.inputs) != 1:
        raise CardError(f"{len(graph.inputs)} inputs, expected one, the picture")
    if len(graph.signatures) != 1:
        raise CardError(
            f"has no single signature, by whose names the card finds the outputs "
            f"({len(graph.signatures)} there)",
            remedy="export it with a signature",
        )
    _, named = graph.signatures[0]
    outputs = {name: graph.tensors[index].details for name, index in named.items()}
    check_card(card, graph.tensors[graph.inputs[0]].details, outputs)


def check_card(
    card: ModelCard, input_details: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]]
) -> None:
    """Compare a card with an interpreter's tensors.

    Parameters
    ----------
    card : ModelCard
    input_details : mapping
        The interpreter's details of its one input.
    outputs : mapping
        Details of the outputs by their names in the signature.

    Raises
    ------
    CardError
        The message names the first difference.
    """
    _check_input(card.input, input_details)
    for spec in card.outputs:
        _check_output(spec, card, outputs)


def _check_input(spec: InputSpec, details: Mapping[str, Any]) -> None:
    expected = (1, spec.height, spec.width, 3)
    found = _shape(details)
    if found != expected:
        raise CardError(f"the card says input {expected}, the tensor is {found}")
    dtype = np.dtype(details["dtype"])
    if dtype == np.int8:
        _check_input_quantization(spec, details)
    elif dtype != np.float32:
        raise CardError(
            f"the input is {dtype}, expected int8 or float32", remedy="export it with one of them"
        )


def _check_input_quantization(spec: InputSpec, details: Mapping[str, Any]) -> None:
    """Check that an int8 input, which is written as ``value - 128``, means ``(value - mean) * scale``."""
    scale, zero_point = details["quantization"]
    value = np.arange(256)[:, None]
    by_card = (value - np.array(spec.mean)) * np.array(spec.scale)  # (256, 3)
    by_tensor = scale * (value - 128 - zero_point)
    error = np.abs(by_card - by_tensor).max() / scale if scale > 0 else np.inf
    if error > LARGEST_INPUT_ERROR:
        raise CardError(
            f"the int8 input has scale {scale:.8g} and zero point {zero_point}: value - 128 is "
            f"up to {error:.3g} steps off (value - mean) * scale of the card, mean {spec.mean}, scale "
            f"{spec.scale}",
            remedy="calibrate with pictures that span 0..255, or correct the card",
        )


def _check_output(spec: OutputSpec, card: ModelCard, outputs: Mapping[str, Mapping[str, Any]]) -> None:
    if spec.name not in outputs:
        names = ", ".join(outputs)
        raise CardError(f"the card names output {spec.name!r}, the file has {names}")
    details = outputs[spec.name]
    expected = tensor_shape(card, spec)
    found = _shape(details)
    if found != expected:
        raise CardError(f"the card says {spec.name} is {expected}, the tensor is {found}")
    dtype = np.dtype(details["dtype"])
    if dtype not in (np.int8, np.float32):
        raise CardError(f"output {spec.name} is {dtype}, expected int8 or float32")
    if dtype == np.int8 and not details["quantization"][0] > 0:
        raise CardError(f"output {spec.name} is int8 without one scale for the whole tensor")


def _shape(details: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in details["shape"])
