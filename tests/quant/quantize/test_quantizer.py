"""A float network becomes INT8: near to float, in one XNNPACK partition, the same bytes each time."""

from __future__ import annotations

import numpy as np
import pytest

from quant.quantize.quantizer import Quantizer
from quant.quantize.weights import BIAS_ROOM, integer_bias
from quant.recipe import RecipeError, load_recipe
from quant.tflite.records import Model, Quantization, Tensor
from quant.tflite.write import write_model
from tests.quant.toynetwork import ENTRY, Builder, delegation, error, images, network, quantized, run

RECIPES = ("w8c_a8", "w8c_a8_eq", "w8c_a8_eq_out", "w8c_a8_eq_out_fit")


def shuffle(builder: Builder, x: Tensor) -> Tensor:
    """Channels of two halves interleaved, as in ShuffleNet."""
    _, h, w, c = x.shape
    apart = builder.op("RESHAPE", [x, builder.constant(np.int32([1, h, w, 2, c // 2]))], (1, h, w, 2, c // 2))
    turned = builder.op(
        "TRANSPOSE", [apart, builder.constant(np.int32([0, 1, 2, 4, 3]))], (1, h, w, c // 2, 2)
    )
    return builder.op("RESHAPE", [turned, builder.constant(np.int32([1, h, w, c]))], (1, h, w, c))


def joined(builder: Builder, x: Tensor) -> Tensor:
    a, b = builder.conv(x, 8, activation="RELU"), builder.conv(x, 8, scale=3.0)
    both = builder.op("CONCATENATION", [a, b], (*x.shape[:3], 16), axis=3)
    return builder.conv(shuffle(builder, both), 8)


def gated(builder: Builder, x: Tensor) -> Tensor:
    mean = builder.op("MEAN", [x, builder.constant(np.int32([1, 2]))], (1, 1, 1, x.shape[3]), keep_dims=True)
    gate = builder.same("LOGISTIC", builder.conv(mean, 8, size=1))
    return builder.op("MUL", [x, gate], x.shape)


def padded(builder: Builder, x: Tensor) -> Tensor:
    """Channels of zeros beside others, as in residual blocks without a projection, and what fills them."""
    pads = builder.constant(np.int32([[0, 0], [0, 0], [0, 0], [0, 8]]))
    wide = builder.op("PAD", [builder.conv(x, 8), pads], (*x.shape[:3], 16))
    return builder.conv(builder.depthwise(builder.conv(builder.depthwise(wide), 16, scale=2.0)), 8)


def windows(builder: Builder, x: Tensor) -> Tensor:
    """Windows of a picture in the place of pictures, as HRFormer has them."""
    _, h, w, c = x.shape
    apart = builder.op("RESHAPE", [x, builder.constant(np.int32([h // 4, 4, w, c]))], (h // 4, 4, w, c))
    mixed = builder.conv(apart, c)
    mixed.shape = apart.shape
    return builder.op("RESHAPE", [mixed, builder.constant(np.int32(x.shape))], x.shape)


BODIES = {
    "channels of zeros": padded,
    "residual": lambda b, x: b.same("ADD", x, b.conv(b.conv(x, 8, activation="RELU6"), 8)),
    "joined": joined,
    "gated": gated,
    "swish": lambda b, x: b.same("MUL", x, b.same("LOGISTIC", x)),
    "elu": lambda b, x: b.same("ELU", b.conv(x, 8)),
    "leaky": lambda b, x: b.same("LEAKY_RELU", b.conv(x, 8), alpha=0.1),
    "pooled": lambda b, x: b.same(
        "MAX_POOL_2D", x, padding="SAME", stride_h=1, stride_w=1, filter_height=3, filter_width=3
    ),
    "hard swish": lambda b, x: b.same("HARD_SWISH", b.conv(x, 8)),
    "lone relu": lambda b, x: b.same("RELU", b.conv(x, 8)),
    "sum of small values with zero": lambda b, x: b.same(
        "ADD", b.conv(x, 8, scale=1e-3), b.constant(np.zeros((1, 1, 1, 1), np.float32))
    ),
    "sum with an epsilon": lambda b, x: b.same("ADD", x, b.constant(np.full((1, 1, 1, 1), 1e-5, np.float32))),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_form_is_near_to_float_in_one_partition(body: object, recipe: str) -> None:
    model = network(body)  # type: ignore[arg-type]
    made = quantized(model, recipe).model
    found = delegation(made)
    assert (found.partitions, found.fell_back) == (1, ())
    assert error(model, made) < 0.15  # noise: averages of extremes cut off more than on pictures
    assert all(t.dtype == np.int8 for t in (*made.inputs.values(), *made.outputs.values()))


def test_layers_of_windows_are_not_fitted_and_the_reason_is_said() -> None:
    model = network(windows)
    assert error(model, quantized(model, "w8c_a8_eq_out").model) < 0.15
    with pytest.raises(RecipeError, match="cannot be fitted on several"):
        quantized(model, "w8c_a8_eq_out_fit")


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_bias_beyond_32_bits_is_cut_off_and_not_wrapped_round(sign: int) -> None:
    builder = Builder()
    image = Tensor(name="image", shape=(1, 4, 4, 3))
    builder.conv(image, 1)
    (op,) = builder.operators
    assert op.inputs[2] is not None
    op.inputs[2].data = np.float32([sign * 1e6])
    stored = integer_bias(op, np.float32([1e-6]), Quantization.of(1e-3)).data
    assert stored is not None
    assert np.sign(stored[0]) == sign
    assert abs(int(stored[0])) <= BIAS_ROOM


def test_the_input_has_the_grid_that_is_asked_for() -> None:
    (entry,) = quantized(network()).model.inputs.values()
    assert entry.quantization is not None
    assert (entry.quantization.scale, entry.quantization.zero_point) == (1 / 256, 0)


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, again = (write_model(quantized(network(joined), RECIPES[-1]).model) for _ in range(2))
    assert first == again


def test_the_float_network_stays_as_it_was() -> None:
    model = network(joined)
    before = write_model(model)
    for recipe in RECIPES:
        quantized(model, recipe)
    assert write_model(model) == before


def test_operators_chosen_to_stay_float_do_and_the_partition_holds() -> None:
    model = network(BODIES["residual"])
    name = model.operators[1].outputs[0].name
    quantizer = Quantizer(model, list(images()), ENTRY)
    made = quantizer.quantize(load_recipe("w8c_a8"), frozenset([name])).model
    assert made.count_operators()["DEQUANTIZE"] == 1
    assert delegation(made).partitions == 1
    assert error(model, made) < 0.08


def spread(model: Model, factor: float = 300.0) -> Model:
    """The same function with one channel of the first convolution enlarged, undone in the depthwise behind it."""
    made = model.copy()
    for op, change in ((made.operators[0], factor), (made.operators[1], 1 / factor)):
        kernel, bias = op.inputs[1], op.inputs[2]
        assert kernel is not None and bias is not None and kernel.data is not None and bias.data is not None
        values, shift = kernel.data.copy(), bias.data.copy()
        if op.name == "CONV_2D":
            values[3] *= change
            shift[3] *= change
        else:
            values[..., 3] *= change
        op.inputs[1] = Tensor.constant(kernel.name, values)
        op.inputs[2] = Tensor.constant(bias.name, shift)
    return made


def test_an_outlier_channel_costs_much_and_equalization_takes_it_back() -> None:
    even, uneven = network(), spread(network())
    np.testing.assert_allclose(
        *(next(iter(run(m, next(images())).values())) for m in (even, uneven)), rtol=1e-3
    )
    plain, level = (error(even, quantized(even, recipe).model) for recipe in RECIPES[:2])
    assert error(uneven, quantized(uneven).model) > 3 * plain
    made = quantized(uneven, "w8c_a8_eq")
    assert error(uneven, made.model) < 1.1 * level
    (outlier,) = made.outliers
    assert outlier.channel == 3
    assert outlier.maximum / outlier.median > 100
    assert outlier.left < 2
