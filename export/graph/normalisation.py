"""Make a normalisation that an int8 input cannot express part of the network."""

from __future__ import annotations

import numpy as np

from quant.tflite.records import Model, Operator, Option, Tensor
from rpi_runtime.model.card import InputSpec

PIXEL_MEAN, PIXEL_SCALE = 128.0, 1 / 256  # the normalisation of an int8 input without arithmetic


def prepend_normalisation(model: Model, spec: InputSpec) -> None:
    """Prepend ``(value - mean) * scale`` per channel to the network, as a 1x1 depthwise convolution.

    The network's input becomes ``(value - 128) / 256``. Folding it into the first convolution instead would change the
    border, where that convolution pads with zeros.
    """
    ((name, entry),) = model.inputs.items()
    image = Tensor(name=name, shape=entry.shape)
    entry.name = f"{name}/normalised"
    scale, mean = np.array(spec.scale), np.array(spec.mean)
    weights = np.asarray((scale / PIXEL_SCALE).reshape(1, 1, 1, 3), np.float32)
    bias = np.asarray((PIXEL_MEAN - mean) * scale, np.float32)
    constants = [
        Tensor.constant(f"{name}/{what}", data) for what, data in (("scale", weights), ("shift", bias))
    ]
    options: dict[str, Option] = {"padding": "VALID", "stride_h": 1, "stride_w": 1, "depth_multiplier": 1}
    model.operators.insert(
        0,
        Operator(name="DEPTHWISE_CONV_2D", inputs=[image, *constants], outputs=[entry], options=options),
    )
    model.inputs = {name: image}
