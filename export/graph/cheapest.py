"""Convert a graph in several ways, and take the one that spends the least on moving axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from export.graph.convert.layout import MEETINGS, Meeting, Order
from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from export.graph.tidy.plain import PlainGraph
from quant.tflite.records import Model, Operator
from rpi_runtime.errors import ParityError

# XNNPACK transposes two axes in one call, for each index of the others. An estimate of what a call costs, in bytes of a
# large one: it only has to tell many small calls from few large ones.
CALL = 500


def convert_cheapest(graph: PlainGraph, orders: Mapping[str, Order]) -> tuple[Model, Meeting]:
    """Convert with each place where joined axes may meet; return the cheapest network, and its place."""
    best: tuple[int, Model, Meeting] | None = None  # of a large network two are held at most
    failures: list[ParityError] = []
    for meeting in MEETINGS:
        scope = Scope(graph.opset, dict(graph.constants), meeting)
        try:
            model = convert(scope, graph.nodes, graph.image, graph.size, orders)
        except ParityError as err:
            failures.append(err)  # another arrangement of the same graph may convert
            continue
        cost = sum(map(_cost, model.operators))
        if best is None or cost < best[0]:
            best = cost, model, meeting
        if not scope.moved:
            break
    if best is None:
        raise failures[0]
    return best[1:]


def _cost(op: Operator) -> int:
    if op.name != "TRANSPOSE" or op.inputs[1] is None:
        return 0
    return transposing_cost(op.outputs[0].shape, np.asarray(op.inputs[1].data).tolist())


def transposing_cost(result: Sequence[int], permutation: Sequence[int]) -> int:
    """Return the cost of a TRANSPOSE to this shape: its values, and its calls."""
    runs: list[list[int]] = []  # axes that stay side by side: place of the first in the operand, size of all
    long = sorted(place for place, size in zip(permutation, result, strict=True) if size > 1)
    places = {place: rank for rank, place in enumerate(long)}
    last = -2
    for place, size in zip(permutation, result, strict=True):
        if size == 1:
            continue
        if places[place] == last + 1 and runs:
            runs[-1][1] *= size
        else:
            runs.append([places[place], size])
        last = places[place]
    if len(runs) < 2:
        return 0
    if runs[-1][0] == max(first for first, _ in runs):  # the innermost run is moved as one value
        runs.pop()
    return prod(result) + CALL * prod(size for _, size in runs[:-2])
