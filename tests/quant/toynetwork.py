"""Tiny float networks as records, and how to run what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from quant.quantize.quantizer import QuantizedNetwork, Quantizer
from quant.recipe import load_recipe
from quant.tflite.records import Model, Operator, Quantization, Tensor
from quant.tflite.write import write_model
from rpi_runtime.model.delegation import Delegation, delegation_of

HEIGHT, WIDTH = 16, 24
ENTRY = Quantization.of(1 / 256, 0)
Array = np.ndarray
Body = Callable[["Builder", Tensor], Tensor]


class Builder:
    """Operators in a row; each method returns the tensor that it computes."""

    def __init__(self) -> None:
        self.draw = np.random.default_rng(8)
        self.operators: list[Operator] = []

    def op(
        self, name: str, inputs: list[Tensor], shape: tuple[int, ...], **options: bool | int | float | str
    ) -> Tensor:
        made = Tensor(name=f"{name.lower()}{len(self.operators)}", shape=shape)
        self.operators.append(Operator(name=name, inputs=list(inputs), outputs=[made], options=dict(options)))
        return made

    def same(self, name: str, *inputs: Tensor, **options: bool | int | float | str) -> Tensor:
        return self.op(name, list(inputs), inputs[0].shape, **options)

    def constant(self, values: Array) -> Tensor:
        return Tensor.constant(f"constant{len(self.operators)}", values)

    def conv(
        self,
        image: Tensor,
        channels: int,
        size: int = 3,
        stride: int = 1,
        activation: str = "NONE",
        scale: float = 0.5,
    ) -> Tensor:
        _, height, width, depth = image.shape
        kernel = self.draw.normal(0, scale, (channels, size, size, depth)).astype(np.float32)
        bias = self.draw.normal(0, 0.1, channels).astype(np.float32)
        return self.op(
            "CONV_2D",
            [image, self.constant(kernel), Tensor.constant(f"bias{len(self.operators)}", bias)],
            (1, -(-height // stride), -(-width // stride), channels),
            padding="SAME",
            stride_h=stride,
            stride_w=stride,
            fused_activation_function=activation,
        )

    def depthwise(self, image: Tensor, activation: str = "NONE") -> Tensor:
        channels = image.shape[3]
        kernel = self.draw.normal(0, 0.5, (1, 3, 3, channels)).astype(np.float32)
        bias = Tensor.constant(f"bias{len(self.operators)}", np.zeros(channels, np.float32))
        return self.op(
            "DEPTHWISE_CONV_2D",
            [image, self.constant(kernel), bias],
            image.shape,
            padding="SAME",
            stride_h=1,
            stride_w=1,
            depth_multiplier=1,
            fused_activation_function=activation,
        )


def network(body: Body = lambda builder, x: x) -> Model:
    """Convolution and ReLU, `body`, depthwise and ReLU, two heads with names of their own."""
    builder = Builder()
    image = Tensor(name="image", shape=(1, HEIGHT, WIDTH, 3))
    x = body(builder, builder.conv(image, 8, stride=2, activation="RELU"))
    x = builder.depthwise(x, activation="RELU")
    outputs = {"maps": builder.conv(x, 5, size=1), "fields": builder.conv(x, 6, size=1)}
    return Model(inputs={"image": image}, outputs=outputs, operators=builder.operators)


def images(count: int = 4) -> Iterator[Array]:
    """Normalised inputs."""
    draw = np.random.default_rng(12)
    for _ in range(count):
        yield draw.uniform(-0.5, 127 / 256, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


def quantized(model: Model, recipe: str = "w8c_a8", count: int = 4) -> QuantizedNetwork:
    return Quantizer(model, list(images(count)), ENTRY).quantize(load_recipe(recipe))


def started(model: Model) -> Interpreter:
    interpreter = Interpreter(model_content=write_model(model), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run(model: Model, image: Array) -> dict[str, Array]:
    """Real outputs by name."""
    interpreter = started(model)
    (entry,) = interpreter.get_input_details()
    scale, zero = entry["quantization"]
    stored = np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8) if scale else image
    interpreter.set_tensor(entry["index"], stored)
    interpreter.invoke()
    found = {}
    for name, details in interpreter.get_signature_runner().get_output_details().items():
        value, (scale, zero) = interpreter.get_tensor(details["index"]), details["quantization"]
        found[name] = (value.astype(np.float32) - zero) * scale if scale else value.copy()
    return found


def delegation(model: Model) -> Delegation:
    return delegation_of(started(model)._get_ops_details())


def error(real: Model, other: Model, count: int = 4) -> float:
    """The largest relative error of an output over some images."""
    pairs = [(run(real, image), run(other, image)) for image in images(count)]
    worst = 0.0
    for name in real.outputs:
        noise = sum(float(np.square(a[name] - b[name]).sum()) for a, b in pairs)
        worst = max(worst, (noise / sum(float(np.square(a[name]).sum()) for a, _ in pairs)) ** 0.5)
    return worst
