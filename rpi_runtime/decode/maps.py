"""Read a network's maps as the interpreter gives them, for decoders of every kind."""

from __future__ import annotations

from cython_ext.rules import Quantized
from cython_ext.specs import Stored
from rpi_runtime.model.channels import Pairs
from rpi_runtime.model.inference import NetworkOutputs, Quantization

FLOAT = Quantization(scale=0.0, zero_point=0)


def single(maps: Stored) -> Stored:
    """Return the maps without their batch axis, if they have one."""
    has_batch = getattr(maps, "ndim", 0) == 4 and maps.shape[0] == 1
    alone: Stored = maps[0] if has_batch else maps
    return alone


def partners(pairs: Pairs, count: int) -> tuple[int, ...]:
    """Return for each of `count` keypoints the one whose place it takes in a mirrored picture."""
    found = list(range(count))
    for a, b in pairs:
        found[a], found[b] = b, a
    return tuple(found)


def quantized(
    model: NetworkOutputs, role: str, stride: int | None = None, *, rows: bool = False
) -> Quantized:
    """Return what `model` computed last, (H, W, C), or (rows, C) of an output of rows, for a kernel: a view."""
    values, quantization = model.output(role, stride)[0], model.quantization(role, stride)
    return Quantized(
        values=values[0] if rows else values, scale=quantization.scale, zero_point=quantization.zero_point
    )
