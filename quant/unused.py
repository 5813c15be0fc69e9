"""Remove unreferenced parts of a .tflite."""

from __future__ import annotations

from typing import Any

import numpy as np

from quant.flatbuffer import TFLiteFile


def drop_unused(file: TFLiteFile) -> None:
    """Remove unreferenced tensors, buffers and operator codes, and renumber the rest."""
    graph, model = file.graph, file.model
    lists = [op.inputs for op in graph.operators] + [op.outputs for op in graph.operators]
    used = {int(i) for ids in [*lists, graph.inputs, graph.outputs] for i in ids if i >= 0}
    order = {old: new for new, old in enumerate(sorted(used))}
    graph.tensors = [graph.tensors[old] for old in order]
    for op in graph.operators:
        op.inputs, op.outputs = _renumber(op.inputs, order), _renumber(op.outputs, order)
    graph.inputs, graph.outputs = _renumber(graph.inputs, order), _renumber(graph.outputs, order)
    for signature in model.signatureDefs or []:
        for entry in [*signature.inputs, *signature.outputs]:
            entry.tensorIndex = order[entry.tensorIndex]
    # buffer 0 is empty by convention
    buffers = sorted({0} | {t.buffer for t in graph.tensors} | {m.buffer for m in model.metadata or []})
    places = {old: new for new, old in enumerate(buffers)}
    model.buffers = [model.buffers[old] for old in buffers]
    for holder in [*graph.tensors, *(model.metadata or [])]:
        holder.buffer = places[holder.buffer]
    codes = sorted({op.opcodeIndex for op in graph.operators})
    model.operatorCodes = [model.operatorCodes[i] for i in codes]
    for op in graph.operators:
        op.opcodeIndex = codes.index(op.opcodeIndex)


def _renumber(ids: Any, order: dict[int, int]) -> Any:
    return np.array([order.get(int(i), -1) for i in ids], np.int32)
