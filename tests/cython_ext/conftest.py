"""The kernels as built, and a build of the same sources that checks every index."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

from tests.once import made_once

PACKAGE = Path(__file__).resolve().parents[2] / "cython_ext"
BUILD = """
from Cython.Build import cythonize
from setuptools import setup
modules = cythonize("checked_ext/_*.pyx", quiet=True)
setup(script_args=["-q", "build_ext", "--inplace", "-j2"], ext_modules=modules)
"""

# CI sets this to some thousands and so fuzzes for about a minute.
EXAMPLES = int(os.environ.get("PIPOSE_FUZZ_EXAMPLES", "40"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 100, database=None)


@pytest.fixture(scope="session")
def checked_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with package `checked_ext`: the kernels rewritten to check bounds, and built."""
    pytest.importorskip("Cython", reason="the checked build needs Cython: pip install cython")
    return made_once(tmp_path_factory, "checked", build_checked)


def build_checked(folder: Path) -> None:
    """Build package `checked_ext` in a folder."""
    (folder / "checked_ext").mkdir()
    for source in [*PACKAGE.glob("*.py"), *PACKAGE.glob("*.pyx"), *PACKAGE.glob("*.pxd")]:
        text = source.read_text().replace("cython_ext", "checked_ext").replace("-O3", "-O1")
        text = text.replace("boundscheck=False", "boundscheck=True")
        text = text.replace("initializedcheck=False", "initializedcheck=True")
        (folder / "checked_ext" / source.name).write_text(text)
    command = [sys.executable, "-W", "ignore", "-c", BUILD]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


@pytest.fixture(scope="session", params=["built", "checked"])
def kernels(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The public kernels, of the build that ships and of the one that checks bounds.

    A failed check in a kernel without the interpreter's lock is an unraisable exception; pytest turns it into
    a warning and our configuration turns that into a failure.
    """
    package = "cython_ext"
    if request.param == "checked":
        folder = request.getfixturevalue("checked_build")
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        package = "checked_ext"
    names = ("heatmaps", "paf", "topdown", "tags", "_assignment", "boxes", "centres", "simcc", "crops")
    heatmaps, paf, topdown, tags, assignment, boxes, centres, simcc, crops = (
        importlib.import_module(f"{package}.{n}") for n in names
    )
    return SimpleNamespace(
        PeakFinder=heatmaps.PeakFinder,
        Grouper=paf.Grouper,
        PointFinder=topdown.PointFinder,
        suppress=topdown.suppress,
        Unpacker=tags.Unpacker,
        PlaneResizer=tags.PlaneResizer,
        TagGrouper=tags.TagGrouper,
        assign=assignment.assign,
        BoxFinder=boxes.BoxFinder,
        CentreFinder=centres.CentreFinder,
        SimccFinder=simcc.SimccFinder,
        Cropper=crops.Cropper,
    )
