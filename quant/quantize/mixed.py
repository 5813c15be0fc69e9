"""Which operators to leave in float: those whose rounding costs the outputs most for the time that float takes.

A few tensors often carry most of the error: the first layers of a network with SiLU, whose values reach a hundred where
differences of a tenth count, or outputs whose 256 steps are coarser than the positions that are read from them. A
tensor is not rounded where the operator that computes it and those that read it stay float. So the choice is of
tensors, each with the operators that it needs, the best ratio of error to time first, until the time that may be spent
is. The errors are those of `quant.quantize.sensitivity`; the times are those of a Raspberry Pi 4, predicted
(`quant.speed.boards`), so that the choice does not depend on the machine that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from math import fsum, prod

from quant.quantize.plan import Plan, grid_groups
from quant.quantize.rules import MOVES
from quant.quantize.sensitivity import Weighted, error_of
from quant.speed.boards import SPEEDS, total
from quant.speed.work import Work, work_of_operator
from quant.tflite.records import Model, Operator, Tensor

BOARD = "pi4"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """Tensors that are rounded on one grid, what their rounding costs, and what must be float to spare it."""

    cost: float
    needs: frozenset[Operator]


def choose_real(
    model: Model, plan: Plan, costs: Mapping[Tensor, Weighted], slower: float
) -> frozenset[Operator]:
    """Return the operators to leave in float.

    Parameters
    ----------
    model : Model
        Float.
    plan : Plan
        Plan for the whole network in INT8.
    costs : mapping of Tensor to Weighted
        What errors in each computed tensor cost.
    slower : float
        How much longer the network may take than all in INT8, as a fraction.
    """
    clock = _Clock(model)
    budget = slower * clock.milliseconds(model.operators, frozenset())
    choices = _choices(model, plan, costs)
    chosen: frozenset[Operator] = frozenset()
    spent = 0.0
    while True:
        best, rate, price = None, 0.0, 0.0
        for choice in choices:
            wanted = choice.needs - chosen
            if not wanted:
                continue
            more = clock.difference(chosen, wanted)
            worth = choice.cost / max(more, 1e-9)
            if spent + more <= budget and worth > rate:
                best, rate, price = choice, worth, more
        if best is None:
            return chosen
        chosen |= best.needs
        spent += price


def _choices(model: Model, plan: Plan, costs: Mapping[Tensor, Weighted]) -> list[_Choice]:
    producers, readers = model.producers(), model.readers()
    results = set(model.outputs.values())
    found, last = list[_Choice](), list[_Choice]()
    for group in grid_groups(model, plan.integer):
        made = [t for t in group if t in producers]
        rounded = [t for t in made if producers[t].name not in MOVES]
        if not rounded or not all(t in costs for t in rounded):
            continue
        choice = _Choice(
            cost=sum(error_of(costs[t], plan.grids[t]) for t in rounded),
            needs=frozenset(
                [*(producers[t] for t in made), *(op for t in group for op in readers.get(t, ()))]
            ),
        )
        (found if results.isdisjoint(group) else last).append(choice)
    if last:  # all outputs or none: decoders read them as one type
        needs = frozenset().union(*(c.needs for c in last))
        found.append(_Choice(cost=sum(c.cost for c in last), needs=needs))
    return found


class _Clock:
    """Predicted times of operators in either type, and of the conversions between them."""

    def __init__(self, model: Model) -> None:
        self.producers, self.readers = model.producers(), model.readers()
        self.times = {op: (_milliseconds(op, "int8"), _milliseconds(op, "float32")) for op in model.operators}

    def milliseconds(
        self, operators: AbstractSet[Operator] | list[Operator], real: AbstractSet[Operator]
    ) -> float:
        """Time of some operators and of the conversions of what they read and write."""
        tensors = {
            t for op in operators for t in (*op.inputs, *op.outputs) if t is not None and t.data is None
        }
        # fsum: sets have no order, and the sum must not depend on it
        computing = fsum(self.times[op][op in real] for op in operators)
        return computing + fsum(self._conversion(t, real) for t in tensors)

    def difference(self, real: frozenset[Operator], wanted: frozenset[Operator]) -> float:
        """Return how much longer it takes where `wanted` are float beside `real`."""
        return self.milliseconds(wanted, real | wanted) - self.milliseconds(wanted, real)

    def _conversion(self, tensor: Tensor, real: AbstractSet[Operator]) -> float:
        """Time to bring a tensor from the type in which it is computed to that in which others read it."""
        readers = self.readers.get(tensor, ())
        computed_real = self.producers.get(tensor) in real
        if all((op in real) == computed_real for op in readers):
            return 0.0
        moved = Work(kernel="other", macs=0, traffic=5 * prod(tensor.shape))  # a byte and four for each value
        return SPEEDS[BOARD, "float32"].milliseconds(total([moved]), threads=1)


def _milliseconds(op: Operator, kind: str) -> float:
    amounts = work_of_operator(op)
    if kind == "int8":
        amounts = [replace(amount, traffic=amount.traffic // 4) for amount in amounts]
    return SPEEDS[BOARD, kind].milliseconds(total(amounts), threads=1)
