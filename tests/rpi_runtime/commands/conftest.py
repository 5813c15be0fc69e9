"""Fixtures for the tests of the runtime's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpi_runtime.capture.pictures import write_picture
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.toys import write_toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model and six pictures."""
    folder = tmp_path_factory.mktemp("commands")
    write_toy(folder / "toy.tflite")
    (folder / "photos").mkdir()
    for index in range(6):
        write_picture(gradient(shift=10 * index), folder / f"photos/{index}.png")
    return folder
