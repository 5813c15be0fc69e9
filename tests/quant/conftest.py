"""Fixtures for the tests of the quantization."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def relu_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny network with ReLU as float32 and as int8 .tflite, without cards."""
    import tensorflow as tf

    from quant.convert import convert
    from quant.quiet import quiet
    from quant.recipe import load_recipe
    from tests.quant.toyconvert import inputs, save_network

    folder = tmp_path_factory.mktemp("relufiles")
    saved = save_network(folder / "saved", tf.nn.relu)
    files = folder / "float32.tflite", folder / "int8.tflite"
    with quiet():
        for path, recipe in zip(files, ("w32_a32", "w8c_a8"), strict=True):
            path.write_bytes(convert(saved, load_recipe(recipe), inputs))
    return files
