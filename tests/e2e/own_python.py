"""A Python of this machine, put into the root of a Debian that has none of its version."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.e2e.checkout import need_python
from tests.e2e.commands import run, skip

# What neither an installation nor the runtime needs; tkinter would want a whole X11.
LEFT_OUT = ("*.a", "__pycache__", "test", "idlelib", "turtledemo", "tkinter", "_tkinter*", "site-packages")


def put_python(version: str, root: Path) -> Path:
    """Copy a Python, and the shared libraries that it needs and the root lacks; skips where there is none to copy.

    Returns
    -------
    Path
        The interpreter, as seen from inside the root.
    """
    prefix = Path(run(need_python(version), "-c", "import sys; print(sys.base_prefix)").stdout.strip())
    if prefix == Path("/usr"):
        skip(f"Python {version} is this system's own, which cannot be taken out of it")
    inside = root / prefix.relative_to("/")
    shutil.copytree(prefix, inside, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    program = prefix / f"bin/python{version}"
    modules = [
        prefix / found.relative_to(inside)
        for found in (inside / f"lib/python{version}/lib-dynload").glob("*.so")
    ]
    for library in set(re.findall(r"=> (/\S+)", run("ldd", program, *modules).stdout)):
        place = root / library.lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    return program
