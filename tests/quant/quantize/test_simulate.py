"""The network in PyTorch is the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.quantize.simulate import parameters_of, simulate
from quant.recipe import RecipeError
from quant.tflite.records import Tensor
from tests.quant.quantize.test_quantizer import BODIES
from tests.quant.toynetwork import Builder, images, network, run


def upsampled(builder: Builder, x: Tensor) -> Tensor:
    """Down by an odd stride-2 convolution, up by interpolation and by blocks, a crop and a border."""
    small = builder.conv(x, 8, stride=2)
    _, h, w, c = x.shape
    up = builder.op(
        "RESIZE_BILINEAR", [small, builder.constant(np.int32([h, w]))], x.shape, half_pixel_centers=True
    )
    copies = builder.op("CONCATENATION", [small] * 4, (*small.shape[:3], 4 * c), axis=3)
    blocks = builder.op("DEPTH_TO_SPACE", [copies], x.shape, block_size=2)
    total = builder.same("ADD", up, blocks)
    pads = builder.constant(np.int32([[0, 0], [1, 0], [0, 2], [0, 0]]))
    padded = builder.op("PAD", [total, pads], (1, h + 1, w + 2, c))
    begin, size = (builder.constant(np.int32(v)) for v in ([0, 1, 0, 0], [1, h, w, c]))
    return builder.op("SLICE", [padded, begin, size], x.shape)


def bordered(builder: Builder, x: Tensor) -> Tensor:
    """A border of another number than zero, cut off at one side again."""
    _, h, w, c = x.shape
    pads = builder.constant(np.int32([[0, 0], [1, 0], [0, 1], [0, 0]]))
    padded = builder.op("PADV2", [x, pads, builder.constant(np.float32(0.7))], (1, h + 1, w + 1, c))
    begin, size = (builder.constant(np.int32(v)) for v in ([0, 0, 1, 0], [1, h, w, c]))
    return builder.op("SLICE", [padded, begin, size], x.shape)


FORMS = {
    "upsampled": upsampled,
    "bordered": bordered,
    "gelu": lambda b, x: b.same("GELU", b.conv(x, 8), approximate=False),
    "gelu by tanh": lambda b, x: b.same("GELU", b.conv(x, 8), approximate=True),
    "log": lambda b, x: b.same("LOG", b.same("EXP", b.conv(x, 8, scale=0.1))),
}


@pytest.mark.parametrize("body", [*BODIES.values(), *FORMS.values()], ids=[*BODIES, *FORMS])
def test_it_computes_what_litert_computes(body: object) -> None:
    model = network(body)  # type: ignore[arg-type]
    for image in images(2):
        found = simulate(model, torch.from_numpy(image), parameters_of(model))
        for name, value in run(model, image).items():
            np.testing.assert_allclose(
                found[model.outputs[name]].numpy(), value, atol=1e-5 * np.abs(value).max()
            )


def test_an_unknown_operator_is_named() -> None:
    model = network(lambda b, x: b.same("ROUND", x))
    with pytest.raises(RecipeError, match=r"ROUND .* cannot be simulated"):
        simulate(model, torch.zeros(1, 16, 24, 3), parameters_of(model))
