"""Channels that are scaled together: through moves, sums and ReLU; never through what bends them."""

from __future__ import annotations

import numpy as np
import pytest

from quant.quantize.channels import find_classes
from quant.quantize.equalize import LARGEST, equalize
from quant.quantize.observe import observe
from quant.quantize.plan import grid_groups, integer_operators
from quant.tflite.records import Model, Tensor
from tests.quant.quantize.test_quantizer import BODIES, shuffle
from tests.quant.toynetwork import Builder, error, images, network, quantized, run


def equalized(model: Model) -> Model:
    made = model.copy()
    equalize(made, observe(made, images()), grid_groups(made, integer_operators(made)))
    return made


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_equalization_is_exact(body: object) -> None:
    model = network(body)  # type: ignore[arg-type]
    before, after = (run(m, next(images())) for m in (model, equalized(model)))
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=2e-5 * np.abs(value).max())


def test_weights_do_change_where_nothing_forbids_it() -> None:
    model = network(BODIES["residual"])
    first, again = (m.operators[0].inputs[1] for m in (model, equalized(model)))
    assert first is not None and again is not None
    assert not np.allclose(first.real(), again.real())


def test_a_shuffle_moves_the_classes_with_the_channels() -> None:
    model = network(shuffle)
    classes = find_classes(model)
    before, after = model.operators[0].outputs[0], model.operators[3].outputs[0]
    assert classes.of[after].tolist() == classes.of[before][[0, 4, 1, 5, 2, 6, 3, 7]].tolist()


def test_what_a_sum_adds_has_one_class_and_a_sigmoid_fixes_it() -> None:
    def body(builder: Builder, x):  # type: ignore[no-untyped-def]
        y = builder.conv(x, 8)
        return builder.same("ADD", builder.same("MUL", y, builder.same("LOGISTIC", y)), x)

    model = network(body)
    classes = find_classes(model)
    first, second, total = (model.operators[i].outputs[0] for i in (0, 1, 4))
    assert classes.of[first].tolist() == classes.of[second].tolist() == classes.of[total].tolist()
    assert classes.fixed[classes.of[first]].all()


def test_a_clamp_limits_the_factor() -> None:
    model = network(lambda b, x: b.conv(b.conv(x, 8, activation="RELU6"), 8))
    made = equalized(model)
    clamped = made.operators[1].outputs[0]
    found = observe(made, images())[clamped]
    assert found.high <= 6.0
    before, after = (run(m, next(images())) for m in (model, made))
    np.testing.assert_allclose(after["maps"], before["maps"], atol=1e-4 * np.abs(before["maps"]).max())


def test_factors_stay_bounded_where_a_channel_is_dead_beside_a_fixed_one() -> None:
    """A sum whose ReLU leaves channels at zero, joined with a head whose factor is fixed, as in HigherHRNet."""

    def body(builder: Builder, x: Tensor) -> Tensor:
        a, b = builder.conv(x, 8), builder.conv(x, 8)
        shift = builder.operators[-1].inputs[2]
        assert shift is not None and shift.data is not None
        shift.data[:3] = -50
        total = builder.same("ADD", a, b, fused_activation_function="RELU")
        head = builder.conv(total, 8, scale=0.1)
        joined = builder.op("CONCATENATION", [total, head], (*x.shape[:3], 16), axis=3)
        return builder.same("MUL", builder.conv(joined, 8), builder.same("LOGISTIC", head))

    model = network(body)
    made = equalized(model)
    before, after = (m.operators[2].inputs[1] for m in (model, made))
    assert before is not None and after is not None
    ratio = np.abs(after.real()).max() / np.abs(before.real()).max()
    assert 1 / LARGEST < ratio < LARGEST
    assert error(model, quantized(model, "w8c_a8_eq").model) < 3 * error(model, quantized(model).model)
