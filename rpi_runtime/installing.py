"""Commands to advise: what installs what is missing, and commands of ours, each for the interpreter that runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "pipose"
# PyPI's torch brings CUDA along, gigabytes that nothing here uses
INDEXES = {"train": ("--extra-index-url", "https://download.pytorch.org/whl/cpu")}


def python_here() -> str:
    """Return this interpreter as a shell in the current folder finds it, as in ``.venv/bin/python``."""
    if not sys.executable:  # embedded, or started without a path
        return "python3"
    near = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if near.startswith("..") else near)


def export_line(words: str = "") -> str:
    """Return the command that exports, as it works here; where the extra is missing, for a workstation that has it."""
    command = f"-m export.tflite {words}".rstrip()
    if importlib.util.find_spec("onnx") is None:
        return f"on a workstation: python3 {command}"
    return f"{python_here()} {command}"


def install_line(extra: str) -> str:
    """Return the command that installs what an extra of this distribution needs and this interpreter lacks.

    Parameters
    ----------
    extra : str
        As pyproject.toml names it; empty for what every installation needs.

    Returns
    -------
    str
        For a shell. Where the system manages this interpreter's packages itself, it makes a venv first.
    """
    wanted = requirements(extra)
    missing = [r for r in wanted if not _installed(_name(r))] or wanted or _all_of(extra)
    options = INDEXES.get(extra, ())
    python, before = sys.executable, ""
    if _managed():
        python, before = ".venv/bin/python", f"{shlex.quote(sys.executable)} -m venv .venv && "
        missing = [*requirements(""), *wanted] if wanted else missing
    return f"{before}{shlex.join([python, '-m', 'pip', 'install', *options, *missing])}"


def _all_of(extra: str) -> list[str]:
    """Return how pip is told to install this distribution itself: the checkout that runs, or by its name."""
    checkout = Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return ["-e", f"{checkout}[{extra}]"]
    return [f"{DISTRIBUTION}[{extra}]"]


def pip_line(*wanted: str) -> str:
    """Return the command by which this interpreter gets these requirements, as in ``numpy<2``.

    Where the system manages this interpreter's packages itself, it makes a venv that sees them first.
    """
    python, before = sys.executable, ""
    if _managed():
        python = ".venv/bin/python"
        before = f"{shlex.quote(sys.executable)} -m venv --system-site-packages .venv && "
    return f"{before}{shlex.join([python, '-m', 'pip', 'install', *wanted])}"


def requirements(extra: str) -> list[str]:
    """Return what an extra asks for, as in ``onnx>=1.19``; those without an extra for an empty name."""
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a checkout that was never installed
        return []
    found = []
    for line in declared:
        requirement, _, marker = line.partition(";")
        named = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if (named[1] if named else "") == extra and _for_this_python(marker):
            found.append(requirement.strip())
    return found


def _for_this_python(marker: str) -> bool:
    """Whether an environment marker (PEP 508) that speaks of the Python version holds here."""
    for relation, version in re.findall(r"python_version\s*(<|>=)\s*['\"](\d+\.\d+)['\"]", marker):
        wanted = tuple(map(int, version.split(".")))
        if (sys.version_info[:2] >= wanted) is not (relation == ">="):
            return False
    return True


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _managed() -> bool:
    """Whether pip refuses this interpreter: its packages are the system's (PEP 668)."""
    in_venv = sys.prefix != sys.base_prefix
    return not in_venv and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
