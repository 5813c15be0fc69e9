"""Write the records of a .tflite. The same records give the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.schema import IDENTIFIER, TYPE_CODES, from_plain
from quant.tflite.versions import needed_version
from rpi_runtime.model.seal import seal_of

ALIGNMENT = 16  # force_align of Buffer.data in TFLite's schema
SCHEMA_VERSION = 3
SIGNATURE = b"serving_default"


def write_model(model: Model) -> bytes:
    """Return the .tflite of these records.

    Tensors have the order in which the network uses them, equal constants share one buffer, and one signature has the
    names of inputs and outputs.
    """
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(_Writer(model).model().Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class _Writer:
    """The tables of a file that is being written."""

    def __init__(self, model: Model) -> None:
        self.records = model
        self.places = {tensor: place for place, tensor in enumerate(model.tensors())}
        self.buffers: dict[bytes, int] = {b"": 0}  # buffer 0 is empty by convention
        self.codes: dict[tuple[str, bool], Any] = {}

    def model(self) -> Any:
        made = schema.ModelT()
        made.version = SCHEMA_VERSION
        made.description = self.records.description.encode()
        graph = schema.SubGraphT()
        graph.name = b"main"
        graph.tensors = [self._tensor(tensor) for tensor in self.places]
        graph.inputs = self._numbers(list(self.records.inputs.values()))
        graph.outputs = self._numbers(list(self.records.outputs.values()))
        graph.operators = [self._operator(op) for op in self.records.operators]
        made.subgraphs = [graph]
        made.operatorCodes = list(self.codes.values())
        made.buffers = [_AlignedBuffer(data) for data in self.buffers]
        made.signatureDefs = [self._signature()]
        return made

    def _tensor(self, tensor: Tensor) -> Any:
        made = schema.TensorT()
        made.name, made.type = tensor.name.encode(), TYPE_CODES[tensor.dtype]
        made.shape = np.array(tensor.shape, np.int32)
        made.isVariable, made.hasRank = tensor.variable, True
        made.quantization = _quantization(tensor.quantization)
        data = b""
        if tensor.data is not None:
            assert tensor.data.dtype == tensor.dtype and tensor.data.shape == tensor.shape, tensor.name
            data = tensor.data.tobytes()
        made.buffer = self.buffers.setdefault(data, len(self.buffers))
        return made

    def _operator(self, op: Operator) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex = self._code(op)
        made.inputs, made.outputs = self._numbers(op.inputs), self._numbers(op.outputs)
        if op.custom is None:
            made.builtinOptionsType, made.builtinOptions = from_plain(op.name, op.options)
        else:
            made.customOptions = np.frombuffer(op.custom, np.uint8)
        return made

    def _code(self, op: Operator) -> int:
        key = op.name, op.custom is not None
        if key not in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, "CUSTOM" if key[1] else op.name)
            # an int8 field, from before there were more than 127 operators
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.customCode = op.name.encode() if key[1] else None
            code.version = 1
            self.codes[key] = code
        code = self.codes[key]
        code.version = max(code.version, op.version, needed_version(op))
        return list(self.codes).index(key)

    def _numbers(self, tensors: list[Tensor] | list[Tensor | None]) -> Any:
        return np.array([-1 if tensor is None else self.places[tensor] for tensor in tensors], np.int32)

    def _signature(self) -> Any:
        made = schema.SignatureDefT()
        made.signatureKey, made.subgraphIndex = SIGNATURE, 0
        made.inputs, made.outputs = self._entries(self.records.inputs), self._entries(self.records.outputs)
        return made

    def _entries(self, named: Mapping[str, Tensor]) -> list[Any]:
        entries = []
        for name, tensor in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), self.places[tensor]
            entries.append(entry)
        return entries


def _quantization(records: Quantization | None) -> Any:
    if records is None:
        return None
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = records.scales, records.zero_points
    made.quantizedDimension = records.axis
    return made


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer that packs its data at a multiple of `ALIGNMENT`, which the generated code does not do."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.raw = data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated interface
        data = None
        if self.raw:
            builder.StartVector(1, len(self.raw), ALIGNMENT)
            builder.head -= len(self.raw)
            builder.Bytes[builder.head : builder.head + len(self.raw)] = self.raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def append_members(data: bytes, members: Mapping[str, str]) -> bytes:
    """Append text files as a zip archive, as TFLite's metadata does with associated files.

    Dates are fixed, so that the same members give the same bytes. The archive's comment seals the flatbuffer.
    """
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
        archive.comment = seal_of(data)
    return file.getvalue()
