"""Read and rewrite a .tflite: operations, types, scales, the card behind it.

Uses the object API that TensorFlow generates from TFLite's schema.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from rpi_runtime.errors import InputError
from rpi_runtime.model.seal import seal_of

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # force_align of Buffer.data in TFLite's schema


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


OPERATORS = _names(schema.BuiltinOperator)
TYPES = _names(schema.TensorType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor as the file describes it; `scales` is empty for a float tensor."""

    name: str
    type: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation with its inputs and outputs as indices of tensors."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class TFLiteFile:
    """The flatbuffer part of a .tflite, unpacked.

    Parameters
    ----------
    data : bytes
        Anything appended behind the flatbuffer is ignored.
    """

    def __init__(self, data: bytes) -> None:
        if data[4:8] != IDENTIFIER:
            raise InputError("not a TFLite file: no TFL3 identifier")
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        if len(self.model.subgraphs) != 1:
            raise InputError(f"{len(self.model.subgraphs)} subgraphs in the file; expected one")
        self.graph = self.model.subgraphs[0]

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, in the file's order."""
        return [_tensor(t) for t in self.graph.tensors]

    @property
    def operations(self) -> list[Operation]:
        """All operations, in execution order."""
        return [
            Operation(
                name=self.operator_name(op),
                inputs=tuple(map(int, op.inputs)),
                outputs=tuple(map(int, op.outputs)),
            )
            for op in self.graph.operators
        ]

    def operator_name(self, op: Any) -> str:
        """Return the builtin's name, as in ``CONV_2D``."""
        code = self.model.operatorCodes[op.opcodeIndex]
        return OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def operator_code(self, name: str) -> int:
        """Return the index by which operators name a builtin; it is added where the file did not use it yet."""
        builtin = getattr(schema.BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
                return index
        added = schema.OperatorCodeT()
        added.builtinCode, added.deprecatedBuiltinCode, added.version = builtin, min(builtin, 127), 1
        self.model.operatorCodes.append(added)
        return len(self.model.operatorCodes) - 1

    def count_operations(self) -> Counter[str]:
        """Return how often each operation occurs."""
        return Counter(op.name for op in self.operations)

    def count_types(self) -> Counter[str]:
        """Return how many tensors there are of each type."""
        return Counter(t.type for t in self.tensors)

    def constant(self, index: int) -> np.ndarray[Any, Any] | None:
        """Return the bytes of a constant tensor, None for an activation."""
        data = self.model.buffers[self.graph.tensors[index].buffer].data
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def to_bytes(self) -> bytes:
        """Pack; constants are aligned as the schema asks, which the generated code alone does not do."""
        self.model.buffers = [_AlignedBuffer(b) for b in self.model.buffers]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer that packs its data at a multiple of `ALIGNMENT`."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        for name, value in vars(source).items():
            setattr(self, name, value)

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated interface
        data = None
        if self.data is not None and len(self.data):
            raw = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(raw), ALIGNMENT)
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _tensor(item: Any) -> Tensor:
    quant = item.quantization
    scales = () if quant is None or quant.scale is None else tuple(map(float, quant.scale))
    zeros = () if quant is None or quant.zeroPoint is None else tuple(map(int, quant.zeroPoint))
    shape = () if item.shape is None else tuple(map(int, item.shape))
    return Tensor(
        name=item.name.decode(), type=TYPES[item.type], shape=shape, scales=scales, zero_points=zeros
    )


def append_members(data: bytes, members: Mapping[str, str]) -> bytes:
    """Append text files as a zip archive, the way TFLite's metadata carries associated files.

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
