"""Which operators compute in integers, and on which grid each of their tensors lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from quant.floats import choose_floats
from quant.quantize.ranges import Range
from quant.quantize.rules import FIXED, INTEGER, MOVES, activations, shares_grid
from quant.quantize.weights import Scales
from quant.tflite.records import Model, Operator, Quantization, Tensor

Choose = Callable[[list[Tensor]], Range]  # of tensors that share a grid


@dataclass(slots=True, kw_only=True)
class Plan:
    """How to write a float network in integers.

    Attributes
    ----------
    integer : set of Operator
        What computes in INT8; the rest stays float.
    grids : dict of Tensor to Quantization
        Grid of every tensor that an integer operator reads or writes.
    requantized : dict of (Operator, int) to Quantization
        Inputs of an operator, by place, that are brought to another grid first.
    weight_scales : dict of Operator to ndarray, (C,)
        Of operators whose weights have other scales than the largest weight of each channel gives.
    """

    integer: set[Operator]
    grids: dict[Tensor, Quantization] = field(default_factory=dict)
    requantized: dict[tuple[Operator, int], Quantization] = field(default_factory=dict)
    weight_scales: dict[Operator, Scales] = field(default_factory=dict)


def integer_operators(model: Model) -> set[Operator]:
    """Return the operators of a float network that compute in INT8: TFLite has them, and soundly (`quant.floats`)."""
    known = {op for op in model.operators if op.name in INTEGER and _is_real(op)}
    return known - choose_floats(model)


def _is_real(op: Operator) -> bool:
    return any(t is not None and t.dtype == np.float32 for t in [*op.inputs, *op.outputs])


def make_plan(
    model: Model,
    choose: Choose,
    entry: Quantization | None = None,
    real: frozenset[Operator] = frozenset(),
) -> Plan:
    """Choose the grid of every tensor.

    Parameters
    ----------
    model : Model
        Float.
    choose : callable
        Gives the range of tensors that share a grid.
    entry : Quantization or None
        The grid of the network's input, where it is given.
    real : frozenset of Operator
        What stays float.
    """
    plan = Plan(integer=integer_operators(model) - real)
    given = {op.outputs[0]: FIXED[op.name] for op in plan.integer if op.name in FIXED}
    if entry is not None:
        (image,) = model.inputs.values()
        given[image] = entry
    moved = _moved_by(plan.integer)
    for members in grid_groups(model, plan.integer):
        fixed = {(given[t].scale, given[t].zero_point) for t in members if t in given}
        if len(fixed) == 1 and all(t in given or t in moved for t in members):
            grid = next(given[t] for t in members if t in given)
        else:
            grid = choose([t for t in members if t not in moved]).grid()
        for tensor in members:
            plan.grids[tensor] = given.get(tensor, grid)
    if entry is not None:
        plan.grids[image] = entry  # also where a first layer in float reads it
    _requantize(plan, given)
    return plan


def _moved_by(operators: AbstractSet[Operator]) -> set[Tensor]:
    return {tensor for op in operators if op.name in MOVES for tensor in op.outputs}


def _requantize(plan: Plan, given: Mapping[Tensor, Quantization]) -> None:
    """Note the operands whose grid is fixed otherwise than that of the operator that moves them."""
    for op in plan.integer:
        if not shares_grid(op):
            continue
        grid = plan.grids[op.outputs[0]]
        for place, tensor in enumerate(op.inputs):
            if tensor is not None and tensor in plan.grids and not same(plan.grids[tensor], grid):
                plan.requantized[op, place] = grid


def same(a: Quantization, b: Quantization) -> bool:
    """Whether two grids of a whole tensor are equal."""
    return a.scale == b.scale and a.zero_point == b.zero_point


def grid_groups(model: Model, integer: AbstractSet[Operator]) -> list[list[Tensor]]:
    """Tensors that must share a grid, together; each tensor of the given operators is in one group."""
    parent: dict[Tensor, Tensor] = {}

    def root(tensor: Tensor) -> Tensor:
        parent.setdefault(tensor, tensor)
        while parent[tensor] is not tensor:
            parent[tensor] = parent[parent[tensor]]
            tensor = parent[tensor]
        return tensor

    for op in model.operators:
        if op not in integer:
            continue
        tensors = [*activations(op), *op.outputs]
        for tensor in tensors:
            root(tensor)
            if shares_grid(op):
                parent[root(tensor)] = root(tensors[0])
    groups: dict[Tensor, list[Tensor]] = {}
    for tensor in parent:
        groups.setdefault(root(tensor), []).append(tensor)
    return list(groups.values())
