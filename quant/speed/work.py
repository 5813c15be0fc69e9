"""The work of each operation of a .tflite: multiply-adds, and bytes to read and write."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from quant.tflite.records import Model, Operator, Tensor

Kernel = Literal["convolution", "depthwise", "other"]
FREE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")  # these change a shape and move no data


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of one operation.

    Attributes
    ----------
    kernel : {"convolution", "depthwise", "other"}
        Kind of the kernel that runs it; a matrix product counts as a convolution.
    macs : int
        Multiply-adds.
    traffic : int
        Bytes of its inputs, weights and outputs.
    """

    kernel: Kernel
    macs: int
    traffic: int


def work_of(model: Model) -> list[Work]:
    """Return the work of each operation of a network, in the order of execution."""
    return [work for op in model.operators for work in work_of_operator(op)]


def work_of_operator(op: Operator) -> list[Work]:
    """Return the work of one operation; nothing for what only changes a shape."""
    return [] if op.name in FREE else [_work(op)]


def computes_in_int8(model: Model) -> bool:
    """Return whether most multiply-adds of a network have INT8 inputs."""
    total = in_int8 = 0
    for op in model.operators:
        macs = _macs(op)
        total += macs
        in_int8 += macs * (macs > 0 and _image(op).dtype.name in ("int8", "uint8"))
    return 2 * in_int8 > total


def _work(op: Operator) -> Work:
    moved = [t for t in (*op.inputs, *op.outputs) if t is not None]
    traffic = sum(t.dtype.itemsize * prod(t.shape) for t in moved)
    macs = _macs(op)
    kernel: Kernel = "depthwise" if op.name == "DEPTHWISE_CONV_2D" else "convolution" if macs else "other"
    return Work(kernel=kernel, macs=macs, traffic=traffic)


def _image(op: Operator) -> Tensor:
    image = op.inputs[2] if op.name == "TRANSPOSE_CONV" else op.inputs[0]
    assert image is not None
    return image


def _macs(op: Operator) -> int:
    """Return the multiply-adds: each weight is used once at each position of the map that the kernel moves over."""
    output = op.outputs[0].shape
    weights = op.inputs[1].shape if len(op.inputs) > 1 and op.inputs[1] is not None else ()
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return prod(output[:-1]) * prod(weights)
    if op.name == "TRANSPOSE_CONV":
        return prod(_image(op).shape[:-1]) * prod(weights)
    if op.name == "BATCH_MATMUL":
        return prod(output) * _image(op).shape[-1]
    return 0
