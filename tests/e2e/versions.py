"""The installed wheel on every Python, NumPy and interpreter it is for.

    python -m tests.e2e.versions --model M.tflite --images FOLDER [--python 3.13]

For each combination: a new virtual environment with the wheel and nothing beyond what a row names, without
OpenCV, in which the runtime finds people on pictures from the command line, and the same people as this checkout.
Needs PyPI, and the Pythons (on the PATH or from pyenv); a combination whose Python is missing is skipped, and
says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from rpi_runtime.model.interpreter import Model
from tests.e2e.checkout import (
    LOOSE,
    STRICT,
    add_pictures,
    build_wheel,
    compare,
    copy_pictures,
    expected,
    find_python,
    run,
)

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
ROWS = [  # Python, NumPy, interpreter
    ("3.11", "numpy==1.24.*", LITERT),  # that of Raspberry Pi OS bookworm
    ("3.11", "numpy<2", TFLITE),
    ("3.11", "numpy>=2", LITERT),
    ("3.12", "numpy<2", LITERT),
    ("3.12", "numpy>=2", LITERT),
    ("3.13", "numpy>=2", LITERT),
]


def try_row(row: tuple[str, str, str], wheel: Path, folder: Path, model: Path) -> tuple[list[str], str]:
    """Install one combination and run it; its messages, and the line that says what runs the model."""
    version, numpy, interpreter = row
    venv = folder / "venv"
    python = find_python(version)
    assert python is not None
    run(python, "-m", "venv", "--clear", venv)
    pip = [venv / "bin/python", "-m", "pip", "install", "-q"]
    run(*pip, numpy, "pillow", interpreter)
    run(*pip, "--no-deps", wheel)
    words = ["-m", "rpi_runtime", "run", "--model", model, "--source", f"images:{folder / 'pictures'}"]
    words += ["--sink", "jsonl:-", "--track", "off"]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = run(venv / "bin/python", *words, cwd=folder, env=clean)
    told = [line for line in done.stderr.splitlines() if model.name in line and "operations" in line]
    version_code = "import numpy; print(numpy.__version__)"
    found = subprocess.run(
        [venv / "bin/python", "-c", version_code], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines(), f"NumPy {found.stdout.strip()}, {told[0].partition('int8, ')[2]}"


def try_python(version: str, wheel: Path, folder: Path, model: Path, images: Path, count: int) -> str:
    """Run a wheel on one Python with the newest of everything; how well its people agree with the checkout's."""
    pictures = copy_pictures(images, count, folder / "pictures")
    wanted = expected(Model(model, threads=1), pictures)
    lines, told = try_row((version, "numpy>=2", LITERT), wheel, folder, model)
    return f"{told}: {compare(lines, wanted)}"


def main() -> None:
    """Print a line for each combination."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_pictures(parser, 8)
    parser.add_argument(
        "--python",
        choices=sorted({row[0] for row in ROWS}),
        action="append",
        help="only the rows of these (default: all)",
    )
    args = parser.parse_args()
    model = args.model.resolve()
    wheels: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix="pipose-versions-") as name:
        folder = Path(name)
        wanted = expected(
            Model(model, threads=1), copy_pictures(args.images, args.count, folder / "pictures")
        )
        for row in ROWS:
            if args.python and row[0] not in args.python:
                continue
            if find_python(row[0]) is None:
                print(f"skipped: Python {row[0]}, {row[1]}, {row[2]}: no such Python on this machine")
                continue
            if row[0] not in wheels:
                wheels[row[0]] = build_wheel(row[0], folder)
            lines, told = try_row(row, wheels[row[0]], folder, model)
            limits = LOOSE if row[2] == TFLITE else STRICT
            print(f"ok: Python {row[0]}, {told}: {compare(lines, wanted, *limits)}", flush=True)


if __name__ == "__main__":
    main()
