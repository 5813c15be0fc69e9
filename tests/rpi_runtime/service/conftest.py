"""A supervisor, the service in a process of its own, and what it needs: a toy model, pictures, a configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rpi_runtime.capture.pictures import write_picture
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.service.supervisor import Supervisor
from tests.rpi_runtime.toys import write_toy

ROOT = Path(__file__).parents[3]


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
    write.path = path  # type: ignore[attr-defined]
    return write


@pytest.fixture
def start(supervisor, tmp_path):
    """Starts the service on a configuration; what is left is killed. Standard error goes to the file `log`."""
    started = []

    def start(path, **environment):
        with (tmp_path / "log").open("w") as log:
            words = [sys.executable, "-m", "rpi_runtime", "service", "run", "--config", str(path)]
            given = supervisor.environment(watchdog_s=2) | environment
            process = subprocess.Popen(words, cwd=ROOT, env=given, stderr=log, stdout=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
