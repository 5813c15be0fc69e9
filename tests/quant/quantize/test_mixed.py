"""Layers left in float: what costs most for its time, within the time that may be spent."""

from __future__ import annotations

import numpy as np
import pytest

from quant.judge.gate import check_floats, check_structure
from quant.quantize.mixed import choose_real
from quant.quantize.plan import make_plan
from quant.quantize.quantizer import Quantizer
from quant.quantize.ranges import extremes
from quant.quantize.sensitivity import error_of, measure_sensitivity
from quant.recipe import Recipe
from quant.tflite.records import Model, Operator, Quantization, Tensor
from rpi_runtime.model.card import InputSpec
from tests.quant.quantize.test_quantizer import BODIES
from tests.quant.toynetwork import ENTRY, HEIGHT, WIDTH, Builder, delegation, error, images, network

SPEC = InputSpec(width=WIDTH, height=HEIGHT, mean=(128.0,) * 3, scale=(1 / 256,) * 3)


def outlier(builder: Builder, x: Tensor) -> Tensor:
    """A layer whose one channel reaches far beyond the others, behind SiLU, which cannot be equalized."""
    wide = builder.conv(x, 8)
    kernel = builder.operators[-1].inputs[1]
    assert kernel is not None
    assert kernel.data is not None
    kernel.data = kernel.data * np.float32([60, 1, 1, 1, 1, 1, 1, 1])[:, None, None, None]
    swish = builder.same("MUL", wide, builder.same("LOGISTIC", wide))
    last = builder.conv(swish, 8)
    kernel = builder.operators[-1].inputs[1]
    assert kernel is not None
    assert kernel.data is not None
    kernel.data = kernel.data * np.float32([1 / 600, 1, 1, 1, 1, 1, 1, 1])
    return last


def recipe(percent: int) -> Recipe:
    name = f"w8c_a8_out_mix{percent}" if percent else "w8c_a8_out"
    return Recipe(name=name, summary="", kind="int8", ranges="outputs", slower=percent / 100)


def chosen(model: Model, slower: float) -> frozenset[Operator]:
    quantizer = Quantizer(model, list(images(4)), ENTRY)
    ready = quantizer._prepare(0.0)
    costs = measure_sensitivity(ready.model, quantizer.images).values
    plan = make_plan(ready.model, lambda ts: extremes([ready.statistics[t] for t in ts]), ENTRY)
    return choose_real(ready.model, plan, costs, slower)


def test_no_time_leaves_nothing_in_float_and_much_time_everything_that_rounds() -> None:
    model = network(outlier)
    assert chosen(model, 0.0) == frozenset()
    assert len(chosen(model, 50.0)) == len(model.operators)


def test_more_time_never_leaves_less_in_float() -> None:
    counts = [len(chosen(network(outlier), slower)) for slower in (0.02, 0.1, 0.3, 1.0)]
    assert counts == sorted(counts)


def test_float_where_it_pays_takes_away_most_of_the_error() -> None:
    model = network(outlier)
    quantizer = Quantizer(model, list(images(4)), ENTRY)
    plain, mixed = (error(model, quantizer.quantize(recipe(p)).model) for p in (0, 60))
    assert mixed < 0.5 * plain


@pytest.mark.parametrize("percent", [5, 20])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_form_stays_one_partition_and_passes_the_gate(body: object, percent: int) -> None:
    model = network(body)  # type: ignore[arg-type]
    made = Quantizer(model, list(images(4)), ENTRY).quantize(recipe(percent)).model
    found = delegation(made)
    assert (found.partitions, found.fell_back) == (1, ())
    assert error(model, made) < 0.15
    (entry,) = made.inputs.values()
    assert entry.dtype == np.int8
    assert len({t.dtype for t in made.outputs.values()}) == 1
    failed = [
        c for c in (*check_structure(made, SPEC, mixed=True), *check_floats(made, mixed=True)) if not c.passed
    ]
    assert failed == []


def test_layers_in_float_are_refused_where_no_recipe_left_them_there() -> None:
    made = Quantizer(network(outlier), list(images(4)), ENTRY).quantize(recipe(60)).model
    (check,) = check_floats(made)
    assert not check.passed
    assert "of layers of" in check.found
    assert not check_structure(made, SPEC)[0].passed


def test_a_saturated_gate_does_not_let_a_range_collapse() -> None:
    """Its gradient is zero on all images, so that nothing seems to cost anything."""

    def gated(builder: Builder, x: Tensor) -> Tensor:
        axes = builder.constant(np.int32([1, 2]))
        mean = builder.op("MEAN", [x, axes], (1, 1, 1, x.shape[3]), keep_dims=True)
        gate = builder.conv(mean, 8, size=1, activation="RELU6")
        bias = builder.operators[-1].inputs[2]
        assert bias is not None
        bias.data = np.full(8, 50, np.float32)
        return builder.op("MUL", [x, gate], x.shape)

    model = network(gated)
    quantizer = Quantizer(model, list(images(4)), ENTRY)
    plan = make_plan(model, quantizer._prepare(0.0).chooser("outputs", quantizer.images), ENTRY)
    (mean,) = (op.outputs[0] for op in model.operators if op.name == "MEAN")
    low, high = ((edge - plan.grids[mean].zero_point) * plan.grids[mean].scale for edge in (-128, 127))
    seen = quantizer._prepare(0.0).statistics[mean]
    assert high - low > 0.3 * (seen.high - seen.low)


def test_the_error_of_a_grid_is_rounding_and_clipping() -> None:
    model = network()
    costs = measure_sensitivity(model, list(images(2))).values
    output = next(iter(model.outputs.values()))
    fine, coarse, short = (error_of(costs[output], Quantization.of(s)) for s in (0.1, 0.2, 1e-4))
    assert coarse == pytest.approx(4 * fine, rel=0.05)
    assert short > coarse
