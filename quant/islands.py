"""Turn DEQUANTIZE -> ELU (float) -> QUANTIZE islands into one int8 ELU.

TFLite's converter has no quantized ELU, the interpreters have: a table of 256 entries built from the scales of input
and output. With the QUANTIZE's output scale it gives the same bytes as the island, and XNNPACK takes it.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from quant.flatbuffer import TFLiteFile
from quant.unused import drop_unused

ISLANDS = ("ELU",)


def rewrite_islands(data: bytes) -> tuple[bytes, int]:
    """Return the file without float ELU islands, and their number."""
    file = TFLiteFile(data)
    operators = file.graph.operators
    readers: dict[int, list[Any]] = {}
    for op in operators:
        for tensor in op.inputs:
            readers.setdefault(int(tensor), []).append(op)
    producers = {int(t): op for op in operators for t in op.outputs}
    dropped = []
    for op in operators:
        if file.operator_name(op) not in ISLANDS:
            continue
        before, after = producers.get(int(op.inputs[0])), readers.get(int(op.outputs[0]), [])
        if before is None or file.operator_name(before) != "DEQUANTIZE":
            continue
        if len(after) != 1 or file.operator_name(after[0]) != "QUANTIZE":
            continue
        quantized = file.graph.tensors[int(after[0].outputs[0])]
        if quantized.type != schema.TensorType.INT8:
            continue
        # keep the float tensor's name, because comparisons with the float file go by name
        quantized.name = file.graph.tensors[int(op.outputs[0])].name
        op.inputs, op.outputs = before.inputs, after[0].outputs
        dropped += [before, after[0]]
    gone = {id(op) for op in dropped}
    file.graph.operators = [op for op in operators if id(op) not in gone]
    drop_unused(file)
    return file.to_bytes(), len(dropped) // 2
