"""Every wheel that a release has, built and tried: ``python -m tests.e2e.wheels --model M.tflite --images FOLDER``.

x86-64 and aarch64 (cross-built), Python 3.11 to 3.13; each in a minimal root of the Debian that has this Python, with
the newest LiteRT, aarch64 as a Cortex-A72 under qemu. The people found must be the checkout's, bit for bit. No Debian
has Python 3.12: its x86-64 wheel runs in a virtual environment, its aarch64 wheel is built with the headers of x86-64's
3.12 and looked at, and not run.

Needs what `tests.e2e.debian_root` needs. `--output DIR` keeps the wheels, `--only 3.13-aarch64` tries one of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from tests.e2e.checkout import add_pictures, build_wheel, find_python, need, run, skip
from tests.e2e.debian_root import (
    MACHINE,
    PYTHON,
    Target,
    check,
    cross_build,
    install,
    make_root,
    need_cross_compiler,
)
from tests.e2e.emulator import find_qemu
from tests.e2e.versions import try_python

LITERT = "ai-edge-litert"
WITHOUT_ROOT = "3.12"
# By name: the Debian in whose root it runs, or none.
WHEELS = {f"{PYTHON[suite]}-{machine}": suite for suite in PYTHON for machine in MACHINE.values()} | {
    f"{WITHOUT_ROOT}-{machine}": "" for machine in MACHINE.values()
}


def in_root(target: Target, folder: Path, emulator: Path | None, args: argparse.Namespace) -> Path:
    """Build the wheel of a root's Python and architecture, run it there, and return it."""
    make_root(target, emulator)
    place = folder / f"{target.suite}-{target.arch}"
    place.mkdir()
    wheel = build_wheel(target.python, place, cross_build(target, place))
    install(target, wheel, LITERT)
    print(f"{wheel.name}: in a minimal {target.suite}, {target.arch}")
    check(target, args.model.resolve(), args.images, args.count, loose=False)
    shutil.rmtree(target.root)
    return wheel


def only_built(folder: Path) -> Path:
    """Build the aarch64 wheel of a Python that no Debian has, and look at its extension modules."""
    python = find_python(WITHOUT_ROOT)
    if python is None:
        skip(f"no Python {WITHOUT_ROOT} on this machine to build the wheel with")
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    headers = run(python, "-c", code).stdout.strip()
    machine, digits = MACHINE["arm64"], WITHOUT_ROOT.replace(".", "")
    gcc = f"{machine}-linux-gnu-gcc"
    environment = {
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{digits}-{machine}-linux-gnu.so",
        "CC": f"{gcc} -I{headers}",
        "LDSHARED": f"{gcc} -shared",
    }
    place = folder / "only-built"
    place.mkdir()
    wheel = build_wheel(WITHOUT_ROOT, place, environment)
    with zipfile.ZipFile(wheel) as archive:
        modules = [n for n in archive.namelist() if n.endswith(".so")]
        # e_machine of ELF
        assert modules and all(archive.read(n)[18] == 183 for n in modules), "not for AArch64"
    print(
        f"{wheel.name}: built, {len(modules)} modules for AArch64; not run, since no Debian has this Python"
    )
    return wheel


def in_environment(folder: Path, args: argparse.Namespace) -> Path:
    """Build the x86-64 wheel of a Python that no Debian has, and run it in a virtual environment."""
    place = folder / "environment"
    place.mkdir()
    wheel = build_wheel(WITHOUT_ROOT, place)
    print(
        f"{wheel.name}: {try_python(WITHOUT_ROOT, wheel, place, args.model.resolve(), args.images, args.count)}"
    )
    return wheel


def make_wheel(name: str, folder: Path, args: argparse.Namespace) -> Path:
    """Build and try one wheel, and return it."""
    machine, suite = name.partition("-")[2], WHEELS[name]
    if not suite:
        return only_built(folder) if machine == MACHINE["arm64"] else in_environment(folder, args)
    (arch,) = (a for a, m in MACHINE.items() if m == machine)
    target = Target(suite=suite, arch=arch, root=folder / "root")
    emulator = find_qemu(machine, folder) if target.emulated else None
    return in_root(target, folder, emulator, args)


def main() -> None:
    """Build and try every wheel."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_pictures(parser, 4)
    parser.add_argument(
        "--only", choices=WHEELS, action="append", default=[], help="these wheels (default: all)"
    )
    parser.add_argument("--output", type=Path, help="keep the wheels here")
    args = parser.parse_args()
    wanted = args.only or list(WHEELS)
    if any(WHEELS[name] for name in wanted):
        if os.geteuid() != 0:
            skip("needs root, to mount and to change the root")
        need("mmdebstrap", "unshare", "chroot")
    if any(name.endswith(MACHINE["arm64"]) for name in wanted):
        need_cross_compiler(MACHINE["arm64"])
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pipose-wheels-") as folder:
            wheel = make_wheel(name, Path(folder), args)
            if args.output:
                shutil.copy(wheel, args.output)
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
