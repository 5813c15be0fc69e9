"""Read the structure of a .tflite and refuse contradictions."""

from __future__ import annotations

import math
import mmap
from pathlib import Path

from rpi_runtime.errors import InputError
from rpi_runtime.model.verify.call import Call
from rpi_runtime.model.verify.flatbuffer import MalformedError, Reader, Table, want
from rpi_runtime.model.verify.graph import Graph, Operation, Tensor, read_graph
from rpi_runtime.model.verify.layout import LAYOUTS
from rpi_runtime.model.verify.operations import KINDS, Kind
from rpi_runtime.model.verify.options import OPTION_LAYOUTS, OPTIONS

ACTIVATIONS = (0, 1, 2, 3)  # none, RELU, RELU_N1_TO_1, RELU6: the kernels know no others
# Memory of the values between operations. The hungriest published pose network holds some 170 bytes an input value;
# files with float16 weights unpack all of them first.
ROOM, ROOM_PER_VALUE, ROOM_PER_BYTE = 64 << 20, 400, 4


def verify(path: Path) -> Graph:
    """Read the structure of a .tflite.

    Returns
    -------
    Graph
        Constants are views of the file, which stays open as long as they live.

    Raises
    ------
    InputError
        The file cannot be read, or its structure is damaged.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: cannot be read ({err}); give the path of a .tflite") from err
    try:
        return verify_bytes(data)
    except MalformedError as err:
        raise InputError(
            f"{path}: its structure is damaged ({err}); export it again, or copy it again from where it was made"
        ) from err


def verify_bytes(data: bytes | mmap.mmap) -> Graph:
    """Check the flatbuffer at the start of `data`; `MalformedError` says where it contradicts itself."""
    want(data[4:8] == b"TFL3", "no TFL3 identifier")
    reader = Reader(data, {**LAYOUTS, **OPTION_LAYOUTS})
    graph = read_graph(reader)
    for number, op in enumerate(graph.operations):
        _check_operation(reader, graph, number, op)
    _check_memory(graph, len(data))
    return graph


def _check_memory(graph: Graph, size: int) -> None:
    """Refuse a file whose intermediate values need far more memory than its input and weights explain."""
    values = sum(math.prod(graph.tensors[i].shape) for i in graph.inputs)
    most = ROOM + ROOM_PER_VALUE * values + ROOM_PER_BYTE * size
    last = {i: number for number, op in enumerate(graph.operations) for i in op.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.operations))
    held: dict[int, int] = {i: _bytes(graph.tensors[i]) for i in graph.inputs}
    for number, op in enumerate(graph.operations):
        held |= {i: _bytes(graph.tensors[i]) for i in op.outputs}
        needed = sum(held.values())
        want(
            needed <= most, f"operation {number}: {needed >> 20} MiB of values at once, expected {most >> 20}"
        )
        held = {i: n for i, n in held.items() if last.get(i, number) > number}


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def _check_operation(reader: Reader, graph: Graph, number: int, op: Operation) -> None:
    kind = KINDS.get(op.code)
    if kind is None:
        raise MalformedError(f"operation {number}: TFLite's number {op.code} is not one of a pose network")
    place = f"operation {number} {kind.name}"
    for what, found, (least, most) in (
        ("inputs", op.inputs, kind.inputs),
        ("outputs", op.outputs, kind.outputs),
    ):
        want(least <= len(found) <= most, f"{place}: {len(found)} {what}, expected {least} to {most}")
    options = _options(reader, op, kind, place)
    tensors = graph.tensors
    call = Call(
        inputs=tuple(None if i == -1 else tensors[i] for i in op.inputs),
        outputs=tuple(tensors[i] for i in op.outputs),
        options=options,
    )
    try:
        expected = kind.rule(call)
    except MalformedError as err:
        raise MalformedError(f"{place}: {err}") from err
    for tensor, shape in zip(call.outputs, expected, strict=True):
        if shape is not None:
            want(tensor.shape == shape, f"{place}: writes {tensor.shape}, its inputs make {shape}")


def _options(reader: Reader, op: Operation, kind: Kind, place: str) -> Table:
    if kind.options == 0:
        return {}
    if op.options is None or op.options_type == 0:
        return {name: default for name, _, default in OPTIONS[kind.options]}
    want(op.options_type == kind.options, f"{place}: options of another operation ({op.options_type})")
    try:
        options = reader.table(op.options, f"options {kind.options}")
    except MalformedError as err:
        raise MalformedError(f"{place}: {err}") from err
    want(options.get("activation", 0) in ACTIVATIONS, f"{place}: activation {options.get('activation')}")
    return options
