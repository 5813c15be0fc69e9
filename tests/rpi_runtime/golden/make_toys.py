"""Make the toy networks of this folder (TensorFlow 2.19): python tests/rpi_runtime/golden/make_toys.py

Three convolutions of stride 2 with random weights (seed 0), then one 1x1 convolution per output: heatmaps of
19 channels and PAFs of 38 from an input of 32x24. `toy-fallback-int8` has hard-swish activations, which
XNNPACK does not run in INT8.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

HEIGHT, WIDTH = 24, 32


class Toy(tf.Module):
    """The network; `hard_swish` chooses the activation."""

    def __init__(self, hard_swish: bool) -> None:
        super().__init__()
        self.hard_swish = hard_swish
        generator = np.random.default_rng(0)
        shapes = [(3, 3, 3, 8), (3, 3, 8, 8), (3, 3, 8, 16), (1, 1, 16, 19), (1, 1, 16, 38)]
        self.kernels = [tf.constant(generator.standard_normal(s) * 0.25, tf.float32) for s in shapes]

    @tf.function(input_signature=[tf.TensorSpec((1, HEIGHT, WIDTH, 3), tf.float32, name="image")])
    def __call__(self, image: Any) -> dict[str, Any]:
        """Heatmaps and PAFs of one picture."""
        for kernel in self.kernels[:3]:
            image = tf.nn.conv2d(image, kernel, 2, "SAME")
            image = image * tf.nn.relu6(image + 3) * (1 / 6) if self.hard_swish else tf.nn.relu(image)
        heatmaps, pafs = (tf.nn.conv2d(image, kernel, 1, "SAME") for kernel in self.kernels[3:])
        return {"heatmaps": heatmaps, "pafs": pafs}


def pictures() -> Iterator[list[np.ndarray]]:
    """Random inputs that span the range of (value - 128) / 256."""
    generator = np.random.default_rng(1)
    for _ in range(8):
        picture = generator.random((1, HEIGHT, WIDTH, 3), np.float32) * np.float32(255 / 256) - 0.5
        picture[0, 0, :2] = [[-0.5], [127 / 256]]
        yield [picture.astype(np.float32)]


def convert(hard_swish: bool, int8: bool) -> bytes:
    """Return the toy as a .tflite with a signature."""
    toy = Toy(hard_swish)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(toy, folder, signatures=toy.__call__.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = pictures
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "toy-float32.tflite").write_bytes(convert(hard_swish=False, int8=False))
    (here / "toy-int8.tflite").write_bytes(convert(hard_swish=False, int8=True))
    (here / "toy-fallback-int8.tflite").write_bytes(convert(hard_swish=True, int8=True))
