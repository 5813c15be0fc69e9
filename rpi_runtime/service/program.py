"""Determine how to start this program again with the same interpreter and packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import rpi_runtime
from rpi_runtime.errors import PiposeError
from rpi_runtime.inputs import real_path
from rpi_runtime.service.unit import Program

_FLAGS = ("-s", "-P")  # neither the user's packages nor the current folder
_PROBE = "import rpi_runtime; print(rpi_runtime.__file__)"


def this_program(*arguments: str) -> Program:
    """Return how systemd is to start the interpreter that runs this, with ``-m rpi_runtime`` and `arguments`.

    A package that this interpreter finds only because of the current folder or ``PYTHONPATH`` gets a
    ``PYTHONPATH`` in the unit.
    """
    if not sys.executable:
        raise PiposeError("Python does not know where it lies; start it by its whole path and install again")
    package = Path(rpi_runtime.__file__).parent
    pythonpath: list[str] = []
    if _found_by_itself() != package:
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        pythonpath = list(dict.fromkeys([str(package.parent), *(str(real_path(Path(p))) for p in given)]))
    folders = [Path(sys.prefix), Path(sys.base_prefix), package.parent, *map(Path, pythonpath)]
    folders += [Path(p) for p in sys.path if p and Path(p).is_dir()]
    return Program(
        command=(sys.executable, *_FLAGS, "-m", "rpi_runtime", *arguments),
        pythonpath=os.pathsep.join(pythonpath),
        folders=tuple(folders),
    )


def _found_by_itself() -> Path | None:
    """Return where a bare interpreter finds the package."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    words = [sys.executable, *_FLAGS, "-c", _PROBE]
    done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()).parent if done.returncode == 0 else None
