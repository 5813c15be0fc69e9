"""What each operation of a .tflite has to do: multiply-adds, and bytes to read and write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from quant.flatbuffer import Operation, Tensor, TFLiteFile

Kernel = Literal["convolution", "depthwise", "other"]
BYTES = {"FLOAT32": 4, "FLOAT16": 2, "INT32": 4, "INT64": 8, "INT16": 2}  # others have one
FREE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")  # they change a shape and move nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One operation.

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


def work_of(file: TFLiteFile) -> list[Work]:
    """Return the work of each operation of a file, in the order of execution."""
    tensors = file.tensors
    return [_work(op, tensors) for op in file.operations if op.name not in FREE]


def computes_in_int8(file: TFLiteFile) -> bool:
    """Whether most multiply-adds of a file have INT8 inputs."""
    tensors = file.tensors
    total = in_int8 = 0
    for op in file.operations:
        macs = _macs(op, tensors)
        total += macs
        in_int8 += macs * (macs > 0 and tensors[_image(op)].type in ("INT8", "UINT8"))
    return 2 * in_int8 > total


def _work(op: Operation, tensors: Sequence[Tensor]) -> Work:
    moved = [tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
    traffic = sum(BYTES.get(t.type, 1) * prod(t.shape) for t in moved)
    macs = _macs(op, tensors)
    kernel: Kernel = "depthwise" if op.name == "DEPTHWISE_CONV_2D" else "convolution" if macs else "other"
    return Work(kernel=kernel, macs=macs, traffic=traffic)


def _image(op: Operation) -> int:
    return op.inputs[2] if op.name == "TRANSPOSE_CONV" else op.inputs[0]


def _macs(op: Operation, tensors: Sequence[Tensor]) -> int:
    """Each value of the weights is used once at each position of the map that the kernel moves over."""
    output = tensors[op.outputs[0]].shape
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return prod(output[:-1]) * prod(tensors[op.inputs[1]].shape)
    if op.name == "TRANSPOSE_CONV":
        return prod(tensors[op.inputs[2]].shape[:-1]) * prod(tensors[op.inputs[1]].shape)
    if op.name == "FULLY_CONNECTED":
        return prod(output[:-1]) * prod(tensors[op.inputs[1]].shape)
    if op.name == "BATCH_MATMUL":
        return prod(output) * tensors[op.inputs[0]].shape[-1]
    return 0
