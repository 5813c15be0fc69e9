"""The installed wheel on every Python, NumPy and interpreter it is for, and with the oldest and newest of everything.

    python -m tests.e2e.versions --model M.tflite --images FOLDER [--python 3.13]

For each combination: a new virtual environment with the wheel and nothing beyond what a row names, in which the
runtime finds people on pictures from the command line, and the same people as this checkout. Rows without OpenCV are
what a Pi has. Two rows have everything that pyproject.toml names, one in the oldest version that it allows and one in
the newest that there is: these also write a film and read it, and serve the live page and a broker (mosquitto).

Needs PyPI, and the Pythons (on the PATH or from pyenv); a combination for which one of them is missing is skipped, and
says so. Exits with 77 where all are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from rpi_runtime.model.interpreter import Model
from tests.e2e.checkout import (
    CHECKOUT,
    LOOSE,
    STRICT,
    add_pictures,
    build_wheel,
    compare,
    copy_pictures,
    expected,
    find_python,
)
from tests.e2e.commands import SKIPPED, SkippedError, fetch, run
from tests.rpi_runtime.sinks.mqtt.mosquitto import MOSQUITTO, Listener, Mosquitto, free_port, wait_for

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
EXTRAS = ("video", "live", "mqtt")
PATIENCE_S = 120.0
FRAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One combination: Python, what is installed beside the wheel, and whether this is everything."""

    python: str
    packages: tuple[str, ...]
    everything: bool = False

    @property
    def interpreter(self) -> str:
        """What runs the network."""
        return TFLITE if TFLITE in self.packages else LITERT


def declared(python: str, pin: Callable[[Requirement], str]) -> Row:
    """Return the row of everything that pyproject.toml names, each as `pin` has it."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(t for e in EXTRAS for t in project["optional-dependencies"][e])]
    wanted = [
        found
        for found in map(Requirement, texts)
        if found.marker is None or found.marker.evaluate({"python_version": python})
    ]
    return Row(python=python, packages=tuple(map(pin, wanted)), everything=True)


def oldest(wanted: Requirement) -> str:
    """Return the lowest version that is allowed, as in ``numpy==1.24.*``."""
    (lowest,) = (s.version for s in wanted.specifier if s.operator == ">=")
    return f"{wanted.name}=={lowest}.*"


def rows() -> list[Row]:
    """Return the combinations."""
    return [
        Row(python="3.11", packages=("numpy==1.24.*", "pillow", LITERT)),  # Raspberry Pi OS bookworm's NumPy
        Row(python="3.11", packages=("numpy<2", "pillow", TFLITE)),
        Row(python="3.11", packages=("numpy>=2", "pillow", LITERT)),
        Row(python="3.12", packages=("numpy<2", "pillow", LITERT)),
        Row(python="3.12", packages=("numpy>=2", "pillow", LITERT)),
        Row(python="3.13", packages=("numpy>=2", "pillow", LITERT)),
        declared("3.11", oldest),
        declared("3.13", lambda wanted: wanted.name),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The runtime in an environment of its own, started in `folder`."""

    python: Path
    folder: Path

    def words(self, *words: str | Path) -> list[str]:
        """Return a command of the runtime."""
        return [str(word) for word in (self.python, "-m", "rpi_runtime", *words)]

    def options(self) -> dict[str, object]:
        """Where and with what environment it is started."""
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return {"cwd": self.folder, "env": clean}

    def poses(self, model: Path, source: str) -> tuple[list[str], str]:
        """Run a network on a source; its messages, and the line that says what runs the network."""
        words = self.words("run", "--model", model, "--source", source, "--sink", "jsonl:-", "--track", "off")
        done = run(*words, **self.options())
        (told,) = (line for line in done.stderr.splitlines() if model.name in line and "operations" in line)
        return done.stdout.splitlines(), told.partition("int8, ")[2]


def install(row: Row, wheel: Path, folder: Path) -> tuple[Installed, str]:
    """Make the environment of a row; returns it and the versions in it, in words."""
    python, venv = find_python(row.python), folder / "venv"
    assert python is not None
    run(python, "-m", "venv", "--clear", "--without-pip", venv)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python"]
    fetch(*pip, "install", "-q", *row.packages)
    run(*pip, "install", "-q", "--no-deps", wheel)
    listed = json.loads(run(*pip, "list", "--format", "json").stdout)
    found = {package["name"].lower(): package["version"] for package in listed}
    names = [Requirement(text).name for text in row.packages]
    versions = ", ".join(f"{name} {found[name.lower()]}" for name in names)
    return Installed(python=venv / "bin/python", folder=folder), versions


def serve(installed: Installed, model: Path, pictures: Path) -> str:
    """Run with a film, the live page and a broker at once; what came of it, in words."""
    film, log, place = (installed.folder / name for name in ("poses.mp4", "run.log", "one"))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(min(pictures.iterdir()), place)  # a film has one size
    words = ["run", "--model", model, "--source", f"images:{place},loop=yes", "--max-fps", "10"]
    with contextlib.ExitStack() as ending, log.open("w") as written:
        broker, port = Mosquitto(installed.folder, "allow_anonymous true"), free_port()
        ending.callback(broker.kill)
        listener = Listener(broker.port)
        ending.callback(listener.close)
        words += ["--sink", f"video:{film}", "--sink", f"web:127.0.0.1:{port}"]
        words += ["--sink", f"mqtt:127.0.0.1:{broker.port},name=pi"]
        command, options = installed.words(*words), installed.options()
        with subprocess.Popen(command, stderr=written, **options) as process:  # type: ignore[call-overload]
            try:
                wait_for(
                    lambda: len(listener.of("pipose/pi/poses")) >= FRAMES or process.poll() is not None,
                    PATIENCE_S,
                )
                served = answer(port)
            finally:
                process.terminate()
        published = len(listener.of("pipose/pi/poses"))
    assert process.returncode == 0 and published >= FRAMES and served, log.read_text()
    frames, _ = installed.poses(model, f"video:{film}")
    assert len(frames) >= FRAMES, f"{len(frames)} frames in the film"
    return "live page, broker, and a film that is read again"


def answer(port: int) -> dict[str, object] | None:
    """Return the newest message that the live page has, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/poses", timeout=10) as said:
            message: dict[str, object] = json.load(said)
    except OSError:
        return None
    return message


def try_row(
    row: Row, wheel: Path, folder: Path, model: Path, wanted: list[list[dict[str, list[float]]]]
) -> str:
    """Install one combination and run it; the line about it."""
    installed, versions = install(row, wheel, folder)
    lines, told = installed.poses(model, f"images:{folder / 'pictures'}")
    limits = LOOSE if row.interpreter == TFLITE else STRICT
    said = f"Python {row.python}, {versions}; {told}: {compare(lines, wanted, *limits)}"
    if row.everything:
        if MOSQUITTO is None:
            return f"{said}; skipped: page, broker and film, for want of mosquitto"
        said += f"; {serve(installed, model, folder / 'pictures')}"
    return said


def try_rows(chosen: Iterable[Row], args: argparse.Namespace) -> int:
    """Print a line for each combination, and return how many were tried."""
    model, tried = args.model.resolve(), 0
    with tempfile.TemporaryDirectory(prefix="pipose-versions-") as name:
        folder = Path(name)
        os.environ.setdefault("PIPOSE_WHEELS", str(folder / "wheels"))  # each is built once
        pictures = copy_pictures(args.images, args.count, folder / "pictures")
        wanted = expected(Model(model, threads=1), pictures)
        for row in chosen:
            if find_python(row.python) is None:
                print(f"skipped: no Python {row.python} on this machine for {', '.join(row.packages)}")
                continue
            with contextlib.suppress(SkippedError):  # which has said why
                wheel = build_wheel(row.python, folder)
                print(f"ok: {try_row(row, wheel, folder, model, wanted)}", flush=True)
                tried += 1
    return tried


def main() -> int:
    """Try the combinations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_pictures(parser, 8)
    parser.add_argument(
        "--python",
        choices=sorted({row.python for row in rows()}),
        action="append",
        help="only the rows of these (default: all)",
    )
    parser.add_argument("--everything", action="store_true", help="only the rows of everything, old and new")
    args = parser.parse_args()
    chosen = [
        row
        for row in rows()
        if (not args.python or row.python in args.python) and (row.everything or not args.everything)
    ]
    return 0 if try_rows(chosen, args) else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
