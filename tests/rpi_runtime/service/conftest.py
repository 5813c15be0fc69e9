"""A supervisor, and what a service needs to run: a toy model, pictures, a configuration."""

from __future__ import annotations

import json

import pytest

from rpi_runtime.pictures import write_picture
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.service.supervisor import Supervisor
from tests.rpi_runtime.toys import write_toy


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(tmp_path / "notify")
    yield supervisor
    supervisor.close()


@pytest.fixture
def config(tmp_path):
    """A configuration that runs for ever; a callable that writes it with some keys changed."""
    write_toy(tmp_path / "toy.tflite")
    (tmp_path / "photos").mkdir()
    for index in range(3):
        write_picture(gradient(shift=10 * index), tmp_path / f"photos/{index}.png")
    defaults = {
        "model": str(tmp_path / "toy.tflite"),
        "source": f"{tmp_path / 'photos'},loop=yes",
        "sink": [f"jsonl:{tmp_path / 'poses.jsonl'}"],
        "max_fps": 50.0,
    }
    path = tmp_path / "config.toml"

    def write(**changes):
        settings = {k: v for k, v in (defaults | changes).items() if v is not None}
        path.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
        return path

    write()
    write.path = path
    return write
