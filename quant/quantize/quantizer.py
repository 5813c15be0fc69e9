"""One float network and its calibration images; INT8 networks by recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quant.importance import Weigh, evenly
from quant.missing import need_torch
from quant.quantize.equalize import Outlier, equalize
from quant.quantize.integer import to_integers
from quant.quantize.observe import Statistics, observe
from quant.quantize.plan import Choose, Plan, grid_groups, integer_operators, make_plan
from quant.quantize.ranges import Range, averages, extremes
from quant.recipe import Recipe
from quant.tflite.records import Model, Operator, Quantization, Tensor

if TYPE_CHECKING:  # needs PyTorch, which the simpler recipes do without
    from quant.quantize.sensitivity import Sensitivity

Images = Sequence[NDArray[np.float32]]
LEVELS = 16  # images that equalization looks at
SENSITIVE = 24  # images whose gradients are taken
FITTED = 16  # images on which layers are fitted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedNetwork:
    """What a recipe made of a network.

    Attributes
    ----------
    model : Model
        INT8.
    real : Model
        The float network that it holds, its channels equalized or not.
    outliers : tuple of Outlier
        Tensors whose channels were far apart before equalization, worst first.
    """

    model: Model
    real: Model
    outliers: tuple[Outlier, ...] = ()


class Quantizer:
    """Keeps what recipes have in common, so that trying a second costs little.

    Parameters
    ----------
    model : Model
        Float.
    images : sequence of ndarray, (1, H, W, 3) float32
        Normalised inputs.
    entry : Quantization
        The grid of the network's input.
    weigh : callable
        What counts in the outputs (`quant.importance`).
    """

    def __init__(self, model: Model, images: Images, entry: Quantization, weigh: Weigh = evenly) -> None:
        self.model, self.images, self.entry, self.weigh = model, images, entry, weigh
        self._prepared: dict[float, _Prepared] = {}

    def quantize(self, recipe: Recipe, real: frozenset[str] = frozenset()) -> QuantizedNetwork:
        """Return the network in INT8.

        Parameters
        ----------
        recipe : Recipe
        real : frozenset of str
            Operators that stay float, by the name of their first output.

        Raises
        ------
        DependencyError
            The recipe needs PyTorch, and it is not installed, or does not load.
        """
        if recipe.needs_torch:
            need_torch()
        ready = self._prepare(recipe.equalize)
        model = ready.model.copy()
        stays = frozenset(op for op in model.operators if op.outputs[0].name in real)
        chooser = ready.chooser(recipe.ranges, self.images)
        plan = make_plan(model, chooser, self.entry, stays)
        if recipe.slower:
            stays |= self._mix(model, plan, ready, recipe.slower)
            plan = make_plan(model, chooser, self.entry, stays)
        if recipe.fit:
            self._fit(model, plan, ready)
        return QuantizedNetwork(model=to_integers(model, plan), real=ready.model, outliers=ready.outliers)

    def _prepare(self, level: float) -> _Prepared:
        if level not in self._prepared:
            model, outliers = self.model.copy(), list[Outlier]()
            if level:
                integer = integer_operators(model)
                statistics = observe(model, self.images[:LEVELS], integer)
                outliers = equalize(model, statistics, grid_groups(model, integer_operators(model)), level)
            statistics = observe(model, self.images, integer_operators(model))
            self._prepared[level] = _Prepared(
                model=model, statistics=statistics, outliers=tuple(outliers), weigh=self.weigh
            )
        return self._prepared[level]

    def _mix(self, model: Model, plan: Plan, ready: _Prepared, slower: float) -> frozenset[Operator]:
        from quant.quantize.mixed import choose_real

        return choose_real(model, plan, ready.sensitivity(self.images).values, slower)

    def _fit(self, model: Model, plan: Plan, ready: _Prepared) -> None:
        import torch

        from quant.quantize.reconstruct import reconstruct

        images = torch.tensor(np.concatenate(self.images[:FITTED]))
        reconstruct(model, plan, images, ready.sensitivity(self.images).places)


@dataclass(slots=True, kw_only=True, eq=False)
class _Prepared:
    """A network, equalized or not, and what has been measured on it."""

    model: Model
    statistics: dict[Tensor, Statistics]
    weigh: Weigh
    outliers: tuple[Outlier, ...] = ()
    measured: list[Sensitivity] = field(default_factory=list)
    producers: dict[Tensor, Operator] = field(init=False)

    def __post_init__(self) -> None:
        self.producers = self.model.producers()

    def chooser(self, how: str, images: Images) -> Choose:
        """Return how the range of tensors that share a grid is chosen."""
        plain = {"extremes": extremes, "averages": averages}
        if how in plain:
            return lambda tensors: plain[how]([self.statistics[o] for t in tensors for o in self.origins(t)])
        costs = self.sensitivity(images).values
        from quant.quantize.sensitivity import least_cost

        def choose(tensors: list[Tensor]) -> Range:
            tensors = [origin for t in tensors for origin in self.origins(t)]
            whole = extremes([self.statistics[t] for t in tensors])
            known = [costs[t] for t in tensors if t in costs]
            return least_cost(known, whole) if known else whole

        return choose

    def origins(self, tensor: Tensor) -> list[Tensor]:
        """Return what was measured of a tensor: itself, or what is moved to make it."""
        if tensor in self.statistics:
            return [tensor]
        moved = [t for t in self.producers[tensor].inputs if t is not None and t.data is None]
        return [origin for t in moved for origin in self.origins(t)]

    def sensitivity(self, images: Images) -> Sensitivity:
        """Return what errors cost the outputs, measured once."""
        if not self.measured:
            from quant.quantize.sensitivity import measure_sensitivity

            self.measured.append(measure_sensitivity(self.model, images[:SENSITIVE], self.weigh))
        return self.measured[0]
