"""What the end-to-end scripts share: building the wheel, and what this checkout finds on pictures."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.pictures import SUFFIXES, read_picture, write_picture
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.interpreter import Model
from tests.e2e.commands import fetch, skip

# share of keypoints that must be found, and how near in pixels; tflite-runtime's own INT8 kernels round differently
STRICT, LOOSE = (1.0, 0.1), (0.8, 8.0)
CHECKOUT = Path(__file__).resolve().parents[2]
TREE = ["pyproject.toml", "setup.py", "README.md", "LICENSE", "cython_ext", "rpi_runtime", "quant", "export"]


class Stopwatch:
    """Seconds since it was made, and the processor time of this process and of those that ended meanwhile."""

    def __init__(self) -> None:
        self._begin, self._used = time.monotonic(), self._processor_s()

    def __str__(self) -> str:
        used = self._processor_s() - self._used
        return f"{time.monotonic() - self._begin:.0f} s, {used:.0f} s of processor time"

    @staticmethod
    def _processor_s() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)


def add_pictures(parser: argparse.ArgumentParser, count: int) -> None:
    """Declare the network and the pictures on which people are compared."""
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures with people")
    parser.add_argument("--count", type=int, default=count, help="pictures (default: %(default)s)")


def find_python(version: str) -> str | None:
    """A Python of this version with pip, from pyenv or the PATH; None where there is none."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        return sys.executable
    versions = (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python")
    for python in [*sorted(map(str, versions)), shutil.which(f"python{version}")]:
        if python and subprocess.run([python, "-m", "pip", "-V"], capture_output=True).returncode == 0:
            return python
    return None


def need_python(version: str) -> str:
    """Return a Python of this version with pip; skips where there is none."""
    if python := find_python(version):
        return python
    return skip(f"no Python {version} with pip on this machine")


def build_wheel(version: str, folder: Path, environment: dict[str, str] | None = None) -> Path:
    """Build pipose's wheel for a Python version, from a copy of the sources, into a folder.

    Where the environment variable PIPOSE_WHEELS names a folder, wheels for this machine are kept there, and taken.
    """
    kept = Path(os.environ["PIPOSE_WHEELS"]) if not environment and "PIPOSE_WHEELS" in os.environ else None
    if kept and (found := sorted(kept.glob(f"pipose-*-cp{version.replace('.', '')}-*.whl"))):
        return found[0]
    python = need_python(version)
    copy = folder / f"source-{version}"
    copy_sources(copy)
    wheels = folder / f"wheel-{version}"
    words = [python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, copy]
    # setuptools and Cython are downloaded; the build has no limit
    fetch(*words, env={**os.environ, **(environment or {})}, patience_s=None)
    (wheel,) = wheels.glob("pipose-*.whl")
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, kept)
    return wheel


def copy_sources(folder: Path) -> None:
    """Copy what is needed to build and install, without what an earlier build has left."""
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    for name in TREE:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, folder / name, ignore=ignore)
        elif (CHECKOUT / name).is_file():
            shutil.copy(CHECKOUT / name, folder / name)


def readme_block(name: str) -> str:
    """Return the fenced block of README.md that is marked for CI with this name."""
    text = (CHECKOUT / "README.md").read_text()
    match = re.search(rf"^<!-- ci: {name} -->\n```bash\n(.+?)\n```$", text, re.M | re.S)
    assert match is not None, f"no block {name} in README.md"
    return match[1]


def copy_pictures(images: Path, count: int, folder: Path) -> list[Path]:
    """Copy the first pictures without loss, so that no two JPEG decoders have to agree."""
    folder.mkdir(parents=True)
    for path in sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)[:count]:
        write_picture(read_picture(path), folder / f"{path.stem}.png")
    return sorted(folder.iterdir())


def expected(model: Model, pictures: list[Path]) -> list[list[dict[str, list[float]]]]:
    """Keypoints by name of the people on each picture, as this checkout finds them."""
    names = model.card.skeleton.keypoints
    estimator = Estimator([model], track=False)
    found = []
    for path in pictures:
        people = estimator(read_picture(path), 0).tracks
        found.append(
            [
                {n: list(p) for n, p in zip(names, t.pose.keypoints.tolist(), strict=True) if p[2] > 0}
                for t in people
            ]
        )
    return found


def people_of(lines: str) -> list[Any]:
    """Return what each message says of people, with every digit."""
    return [json.loads(line)["people"] for line in lines.splitlines()]


def compare(
    lines: list[str], wanted: list[list[dict[str, list[float]]]], least: float = 1.0, near: float = 0.1
) -> str:
    """Check the messages against what is wanted; returns how well they agree.

    `least` is the share of keypoints that must be found within `near` pixels: all of them at the very place where
    the same kernels must give the same bytes, less for an interpreter whose INT8 kernels round differently.
    """
    assert len(lines) == len(wanted), f"{len(lines)} messages for {len(wanted)} pictures"
    people = points = same = 0
    for line, frame in zip(lines, wanted, strict=True):
        found = [person["keypoints"] for person in json.loads(line)["people"]]
        assert len(found) == len(frame) or least < 1, f"{len(found)} people, wanted {len(frame)}: {line}"
        people += len(frame)
        for person in frame:
            points += len(person)
            same += max((_agreeing(person, other, near) for other in found), default=0)
            assert person.keys() in [other.keys() for other in found] or least < 1, f"other keypoints: {line}"
    assert points, "nobody on the pictures"
    assert same >= least * points, f"{same} of {points} keypoints agree"
    return f"{len(lines)} messages, {people} people, {same} of {points} keypoints as in the checkout"


def _agreeing(one: dict[str, list[float]], two: dict[str, list[float]], near: float) -> int:
    """Keypoints of two people that lie within `near` pixels of each other."""
    return sum(np.abs(np.subtract(one[n], two[n])[:2]).max() <= near for n in one.keys() & two.keys())
