"""Tensors and operations of a .tflite, with indices, sizes and scales that fit each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.verify.flatbuffer import Reader, Table, want

VERSION = 3
# TFLite's number of a type -> NumPy's; the other types are of networks of words and of variables
TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("f4"),
    1: np.dtype("f2"),
    2: np.dtype("i4"),
    3: np.dtype("u1"),
    4: np.dtype("i8"),
    6: np.dtype("?"),
    7: np.dtype("i2"),
    9: np.dtype("i1"),
    10: np.dtype("f8"),
    15: np.dtype("u4"),
    16: np.dtype("u2"),
}
MOST_DIMENSIONS = 8
MOST_VALUES = 1 << 30
_SCALES = (2.0**-60, 2.0**60)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """One tensor.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : numpy.dtype
    data : ndarray or None
        A constant's values, of `shape`; a view of the file.
    scales, zero_points : ndarray, shape (C,)
        Empty for a tensor that is not quantized.
    axis : int
        Axis of the scales.
    variable : bool
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int = 0
    variable: bool = False

    @property
    def details(self) -> dict[str, Any]:
        """Shape, dtype and quantization under the names that interpreters give them."""
        one = (float(self.scales[0]), int(self.zero_points[0])) if len(self.scales) == 1 else (0.0, 0)
        return {"shape": self.shape, "dtype": self.dtype.type, "quantization": one}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One operation: TFLite's number of it, tensors by index (-1 for one left out), where its options lie."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_type: int
    options: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """The one subgraph of a file; `signatures` maps names to tensors, inputs and outputs of each signature."""

    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[tuple[dict[str, int], dict[str, int]], ...]


def read_graph(reader: Reader) -> Graph:
    """Return the graph; raises `MalformedError` if the file contradicts itself or its bounds."""
    model = reader.root("Model")
    want(model["version"] == VERSION, f"version {model['version']}, expected {VERSION}")
    want(len(model["subgraphs"]) == 1, f"{len(model['subgraphs'])} subgraphs, expected one")
    want(model["external_buffers"] is None and model["external_groups"] is None, "buffers in other files")
    buffers = [_buffer(b) for b in model["buffers"]]
    for entry in model["metadata"]:
        _index(entry["buffer"], buffers, "metadata", "buffer")
    (graph,) = model["subgraphs"]
    tensors = tuple(_tensor(i, t, buffers) for i, t in enumerate(graph["tensors"]))
    found = Graph(
        tensors=tensors,
        operations=tuple(_operation(i, o, model["codes"]) for i, o in enumerate(graph["operators"])),
        inputs=tuple(map(int, graph["inputs"])),
        outputs=tuple(map(int, graph["outputs"])),
        signatures=tuple(_signature(s, tensors) for s in model["signatures"]),
    )
    _check_flow(found)
    return found


def _buffer(entry: Table) -> NDArray[np.uint8]:
    want(entry["offset"] <= 1 and entry["size"] <= 1, "a buffer behind the flatbuffer")
    return np.asarray(entry["data"], np.uint8)


def _tensor(index: int, entry: Table, buffers: Sequence[NDArray[np.uint8]]) -> Tensor:
    name = f"tensor {index} {entry['name']!r}"
    want(entry["type"] in TYPES, f"{name}: type {entry['type']} is not one of a pose network")
    want(entry["sparsity"] is None and entry["variants"] is None, f"{name}: sparse or variant")
    want(entry["external"] == 0, f"{name}: its values are in another file")
    dtype = TYPES[entry["type"]]
    shape = tuple(map(int, entry["shape"]))
    want(len(shape) <= MOST_DIMENSIONS, f"{name}: {len(shape)} dimensions")
    want(all(n >= 0 for n in shape) and math.prod(shape) <= MOST_VALUES, f"{name}: shape {shape}")
    _index(entry["buffer"], buffers, name, "buffer")
    raw = buffers[entry["buffer"]]
    data = _values(raw, dtype, shape, name) if len(raw) or 0 in shape else None
    scales, zeros, axis = _quantization(entry["quantization"], shape, dtype, name)
    return Tensor(
        name=entry["name"],
        shape=shape,
        dtype=dtype,
        data=data,
        scales=scales,
        zero_points=zeros,
        axis=axis,
        variable=entry["variable"],
    )


def _values(raw: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> NDArray[Any]:
    expected = math.prod(shape) * dtype.itemsize
    want(len(raw) == expected, f"{name}: {len(raw)} bytes of values, expected {expected} for {shape} {dtype}")
    return raw.view(dtype).reshape(shape)


def _quantization(
    entry: Table | None, shape: tuple[int, ...], dtype: np.dtype[Any], name: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    if entry is None or len(entry["scale"]) == 0:
        return np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    want(entry["details"] is None, f"{name}: quantized in a way of its own")
    scales, zeros, axis = entry["scale"], entry["zero_point"], entry["axis"]
    if len(zeros) == 0:
        zeros = np.zeros(len(scales), np.int64)
    low, high = _SCALES
    want(bool(np.all((scales > low) & (scales < high))), f"{name}: a scale outside {low:g} to {high:g}")
    want(len(zeros) == len(scales), f"{name}: {len(scales)} scales and {len(zeros)} zero points")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        within = limits.min <= zeros.min() and zeros.max() <= limits.max
        want(bool(within), f"{name}: a zero point outside {dtype}")
    if len(scales) > 1:
        want(0 <= axis < len(shape), f"{name}: scales along axis {axis} of {len(shape)}")
        want(len(scales) == shape[axis], f"{name}: {len(scales)} scales for {shape[axis]} channels")
    return scales, zeros, axis


def _operation(index: int, entry: Table, codes: Sequence[Table]) -> Operation:
    name = f"operation {index}"
    _index(entry["code"], codes, name, "operator code")
    code = codes[entry["code"]]
    want(entry["options2"] is None and entry["large_offset"] == 0, f"{name}: options of StableHLO")
    want(len(entry["intermediates"]) == 0, f"{name}: intermediate tensors")
    want(not any(entry["mutating"]), f"{name}: changes its inputs")
    return Operation(
        code=max(code["deprecated"], code["builtin"]),
        inputs=tuple(map(int, entry["inputs"])),
        outputs=tuple(map(int, entry["outputs"])),
        options_type=entry["options_type"],
        options=entry["options"],
    )


def _signature(entry: Table, tensors: Sequence[Tensor]) -> tuple[dict[str, int], dict[str, int]]:
    want(entry["subgraph"] == 0, f"signature {entry['key']!r}: subgraph {entry['subgraph']}")
    sides = []
    for side in ("inputs", "outputs"):
        for item in entry[side]:
            _index(item["tensor"], tensors, f"signature {entry['key']!r}", "tensor")
        named = {item["name"]: item["tensor"] for item in entry[side]}
        want(len(named) == len(entry[side]), f"signature {entry['key']!r}: two {side} of one name")
        sides.append(named)
    return sides[0], sides[1]


def _check_flow(graph: Graph) -> None:
    """Check that every tensor is written once before it is read, and that constants are never written."""
    ready = {i for i, t in enumerate(graph.tensors) if t.data is not None or t.variable}
    for index in graph.inputs:
        _index(index, graph.tensors, "input", "tensor")
        want(index not in ready, f"input {index}: a constant, or given twice")
        ready.add(index)
    for number, op in enumerate(graph.operations):
        for index in op.inputs:
            want(index == -1 or index in ready, f"operation {number}: reads tensor {index} before it exists")
        for index in op.outputs:
            _index(index, graph.tensors, f"operation {number}", "tensor")
            want(index not in ready, f"operation {number}: writes tensor {index}, which is there already")
            ready.add(index)
    for index in graph.outputs:
        want(index in ready, f"output {index}: is never computed")
    for inputs, outputs in graph.signatures:
        want(set(inputs.values()) <= set(graph.inputs), "signature: an input that is not the graph's")
        want(set(outputs.values()) <= set(graph.outputs), "signature: an output that is not the graph's")


def _index(index: int, among: Sequence[Any], name: str, what: str) -> None:
    want(0 <= index < len(among), f"{name}: {what} {index} of {len(among)}")
