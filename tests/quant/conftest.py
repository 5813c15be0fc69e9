"""Fixtures for the tests of the quantization."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def relu_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny network with ReLU as float32 and as int8 .tflite, without cards."""
    from quant.tflite.write import write_model
    from tests.quant.toynetwork import network, quantized

    folder = tmp_path_factory.mktemp("relufiles")
    files = folder / "float32.tflite", folder / "int8.tflite"
    for path, model in zip(files, (network(), quantized(network()).model), strict=True):
        path.write_bytes(write_model(model))
    return files
