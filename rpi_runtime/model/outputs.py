"""Where a card's output lies in a tensor: the shape that the tensor must have, and a view of the output's part."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec


def map_size(spec: OutputSpec, size: InputSpec) -> tuple[int, int]:
    """Return rows and columns of an output's cells; with rows and a stride of 1 it is one row of cells."""
    if spec.in_rows and spec.stride == 1:
        return 1, spec.rows - spec.first_row
    return -(-size.height // spec.stride), -(-size.width // spec.stride)


def tensor_shape(card: ModelCard, spec: OutputSpec) -> tuple[int, ...]:
    """Return the shape of the tensor that `spec` is a part of: as many channels as the last part of it needs.

    Raises
    ------
    CardError
        The parts do not agree about the tensor, or a map has more cells than the tensor has rows.
    """
    parts = [o for o in card.outputs if o.name == spec.name]
    channels = max(o.first + o.channels for o in parts)
    height, width = map_size(spec, card.input)
    if any((o.axes, o.rows) != (spec.axes, spec.rows) for o in parts):
        raise CardError(f"output {spec.name!r}: expected the same axes and rows where it is named again")
    if spec.in_rows:
        if spec.first_row + height * width > spec.rows:
            raise CardError(
                f"output {spec.name!r}: {height}x{width} cells from row {spec.first_row}, but {spec.rows} rows"
            )
        return (1, spec.rows, channels) if spec.axes == "rows" else (1, channels, spec.rows)
    if any(o.stride != spec.stride for o in parts):
        raise CardError(f"output {spec.name!r}: expected one stride where a map is named again")
    return (1, height, width, channels) if spec.axes == "hwc" else (1, channels, height, width)


def output_view(spec: OutputSpec, size: InputSpec, tensor: NDArray[Any]) -> NDArray[Any]:
    """Return the output's part of its tensor as (1, H, W, channels), a view; rows that are no map as H = 1."""
    if spec.axes == "chw":
        tensor = tensor.transpose(0, 2, 3, 1)
    elif spec.axes == "columns":
        tensor = tensor.transpose(0, 2, 1)
    part = tensor[..., spec.first : spec.first + spec.channels]
    if not spec.in_rows:
        return part
    height, width = map_size(spec, size)
    rows = part[:, spec.first_row : spec.first_row + height * width]
    return rows.reshape(1, height, width, spec.channels)
