"""Read the records of a .tflite."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.schema import DTYPES, IDENTIFIER, OPERATORS, TYPES, to_plain
from rpi_runtime.errors import InputError

# a buffer's offset counts from the start of the file; 0 and 1 mean that its data are inside the flatbuffer
INSIDE = 1


def read_model(data: bytes) -> Model:
    """Return the records of a .tflite. Constants are read-only.

    Parameters
    ----------
    data : bytes
        Contents of the file. Data appended to the flatbuffer is ignored.

    Raises
    ------
    InputError
        The file is not a .tflite, is damaged, or has parts that the records cannot hold: several subgraphs, sparse
        constants, types that NumPy lacks.
    """
    if data[4:8] != IDENTIFIER:
        raise InputError("not a TFLite file: no TFL3 identifier")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    except (struct.error, LookupError, ValueError, TypeError, OverflowError, MemoryError) as err:
        raise InputError("not a TFLite file: its flatbuffer cannot be read (damaged or cut short)") from err
    if len(model.subgraphs) != 1:
        raise InputError(f"{len(model.subgraphs)} subgraphs in the file; expected one (no control flow)")
    return _Reader(model, data).read()


class _Reader:
    """The tables of one file, resolved."""

    def __init__(self, model: Any, data: bytes) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self.data = np.frombuffer(data, np.uint8)
        self.tensors = [self._tensor(item) for item in self.graph.tensors]

    def read(self) -> Model:
        inputs, outputs = self._named()
        return Model(
            inputs=inputs,
            outputs=outputs,
            operators=[self._operator(item) for item in self.graph.operators],
            description=_text(self.model.description),
        )

    def _tensor(self, item: Any) -> Tensor:
        name = _text(item.name)
        if item.type not in DTYPES:
            raise InputError(
                f"tensor {name!r} is {TYPES.get(item.type, item.type)}; expected a type of NumPy's"
            )
        if item.sparsity is not None:
            raise InputError(f"tensor {name!r} is sparse; expected dense constants (densify the file first)")
        shape = () if item.shape is None else tuple(int(n) for n in item.shape)
        dtype, raw = DTYPES[item.type], self._bytes(item.buffer)
        return Tensor(
            name=name,
            shape=shape,
            dtype=dtype,
            data=None if raw is None else _constant(raw, dtype, shape, name),
            quantization=_quantization(item.quantization),
            variable=bool(item.isVariable),
        )

    def _bytes(self, number: int) -> NDArray[np.uint8] | None:
        buffer = self.model.buffers[number]
        if buffer.offset > INSIDE:
            return self.data[buffer.offset : buffer.offset + buffer.size]
        return None if buffer.data is None or len(buffer.data) == 0 else np.asarray(buffer.data, np.uint8)

    def _operator(self, item: Any) -> Operator:
        code = self.model.operatorCodes[item.opcodeIndex]
        name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        custom = None
        if name == "CUSTOM":
            name = _text(code.customCode)
            custom = b"" if item.customOptions is None else bytes(bytearray(item.customOptions))
        if item.builtinOptions2 is not None:
            raise InputError(
                f"{name}: StableHLO operators are not read; convert with TFLite's builtins alone"
            )
        return Operator(
            name=name,
            inputs=[None if index < 0 else self.tensors[index] for index in item.inputs],
            outputs=[self.tensors[index] for index in item.outputs],
            options={} if custom is not None else to_plain(item.builtinOptions),
            custom=custom,
            version=int(code.version),
        )

    def _named(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return inputs or outputs in order, by their names in the only signature, else by the tensors' names."""
        signatures = self.model.signatureDefs or []
        names = {tensor: self.tensors[tensor].name for tensor in [*self.graph.inputs, *self.graph.outputs]}
        if len(signatures) == 1:
            names |= {e.tensorIndex: _text(e.name) for e in [*signatures[0].inputs, *signatures[0].outputs]}
        inputs, outputs = (
            {names[i]: self.tensors[i] for i in part} for part in (self.graph.inputs, self.graph.outputs)
        )
        return inputs, outputs


def _constant(
    raw: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if raw.nbytes != wanted:
        raise InputError(f"tensor {name!r} has {raw.nbytes} bytes; expected {wanted} for {dtype} {shape}")
    return np.frombuffer(raw.tobytes(), dtype).reshape(shape)


def _quantization(item: Any) -> Quantization | None:
    if item is None or item.scale is None or len(item.scale) == 0:
        return None
    scales = np.array(item.scale, np.float32)
    zeros = np.zeros(len(scales), np.int64)
    if item.zeroPoint is not None and len(item.zeroPoint):
        zeros = np.broadcast_to(np.array(item.zeroPoint, np.int64), scales.shape).copy()
    return Quantization(scales=scales, zero_points=zeros, axis=int(item.quantizedDimension))


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
