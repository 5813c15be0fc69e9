"""Float model and recipe and calibration -> .tflite bytes, by TensorFlow's converter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.lite.python.convert_phase import ConverterError

from quant.floats import compute_in_float
from quant.islands import rewrite_islands
from quant.recipe import Recipe
from rpi_runtime.errors import InputError

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
        A .tflite without card. For int8, ELU is in int8, and what has no sound int8 kernel in float.

    Raises
    ------
    InputError
        The network has operations that TFLite does not have.
    """
    try:
        return _convert(saved_model, recipe, images)
    except ConverterError as err:
        missing = re.search(r"(?:TF Select|Custom) ops: (.+)", str(err))
        reason = f"it has no {missing[1]}" if missing else str(err).splitlines()[0][:200]
        raise InputError(
            f"TFLite cannot express this network ({reason}); export it without these operations, "
            "or run again with --verbose to see the converter's own words"
        ) from err


def _convert(saved_model: Path, recipe: Recipe, images: Representative | None) -> bytes:
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
    return compute_in_float(data)[0]
