"""Tiny TensorFlow networks through the converter, with and without float islands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quant.quiet import quiet

with quiet():
    import tensorflow as tf

HEIGHT, WIDTH = 16, 24
Activation = Callable[[Any], Any]


def save_network(folder: Path, activation: Activation = tf.nn.elu) -> Path:
    """A SavedModel: convolution, activation, depthwise, activation, two heads with names of their own."""
    rng = np.random.default_rng(8)

    def weights(*shape: int) -> Any:
        return tf.constant(rng.normal(0, 0.5, shape).astype(np.float32))

    module = tf.Module()
    first, depth, maps, fields = (
        weights(3, 3, 3, 8),
        weights(3, 3, 8, 1),
        weights(1, 1, 8, 5),
        weights(1, 1, 8, 6),
    )

    @tf.function(input_signature=[tf.TensorSpec((1, HEIGHT, WIDTH, 3), tf.float32, name="image")])
    def serve(image: Any) -> Any:
        x = activation(tf.nn.conv2d(image, first, 2, "SAME"))
        x = activation(tf.nn.depthwise_conv2d(x, depth, [1, 1, 1, 1], "SAME"))
        return {
            "maps": tf.nn.bias_add(tf.nn.conv2d(x, maps, 1, "SAME"), weights(5)),
            "fields": tf.nn.bias_add(tf.nn.conv2d(x, fields, 1, "SAME"), weights(6)),
        }

    module.serve = serve
    with quiet():
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def inputs() -> Iterator[np.ndarray]:
    """Normalised images whose first spans the whole range."""
    rng = np.random.default_rng(12)
    for index in range(4):
        image = rng.uniform(-0.5, 127 / 256, (1, HEIGHT, WIDTH, 3)).astype(np.float32)
        if index == 0:
            image[0, 0, 0], image[0, 0, 1] = -0.5, 127 / 256
        yield image


def convert_plainly(saved: Path, *, per_channel: bool = True, io: Any = tf.int8) -> bytes:
    """INT8 as TensorFlow's converter gives it, islands and all."""
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({"image": i} for i in inputs())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = io
        converter._experimental_disable_per_channel = not per_channel
        return bytes(converter.convert())


def run(data: bytes, image: np.ndarray, module: str) -> dict[str, np.ndarray]:
    """Outputs by name, by LiteRT or by TensorFlow's interpreter."""
    if module == "ai_edge_litert":
        from ai_edge_litert.interpreter import Interpreter
    else:
        from tensorflow.lite.python.interpreter import Interpreter
    with quiet():
        runner = Interpreter(model_content=data).get_signature_runner()
    return {name: value.copy() for name, value in runner(image=image).items()}
