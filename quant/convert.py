"""Float model and recipe and calibration -> .tflite bytes, by TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from quant.islands import rewrite_islands
from quant.recipe import Recipe

Representative = Callable[[], Iterator[NDArray[np.float32]]]


def convert(saved_model: Path, recipe: Recipe, images: Representative | None = None) -> bytes:
    """Convert a SavedModel whose ``serving_default`` signature takes ``image``.

    Parameters
    ----------
    saved_model : path
    recipe : Recipe
        Its weights and activations; equalization was done before.
    images : callable, optional
        Gives a fresh iterator over normalised (1, H, W, 3) float32 inputs; needed for int8.

    Returns
    -------
    bytes
        A .tflite without card. Float islands are already rewritten for int8.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    if recipe.kind == "float32":
        return bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe.kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())
    if images is None:
        raise ValueError(f"recipe {recipe.name} needs calibration images")
    converter.representative_dataset = lambda: ({"image": image} for image in images())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    data, _ = rewrite_islands(bytes(converter.convert()))
    return data
