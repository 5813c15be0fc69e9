"""The runtime in a minimal Debian root: ``python -m tests.e2e.debian_root --model M.tflite --images FOLDER``.

Makes a root of Debian's python3 and nothing else (mmdebstrap), puts in pipose's wheel with NumPy, LiteRT and
Pillow, and runs there, from the command line, without OpenCV: `doctor`, a folder of pictures to JSON lines, and
a recording and its replay. The people found must be those that this checkout finds, bit for bit. ``--arch arm64``
cross-builds the wheel and runs all of it as a Cortex-A72 under qemu's user emulation: its times mean nothing.
`tests.e2e.wheels` does it for every wheel.

Needs root, mmdebstrap, a Debian mirror and PyPI; a python3 of the suite's version (for amd64), or
aarch64-linux-gnu-gcc with libc6-dev-arm64-cross (for arm64). Where one is missing it says which, and exits with 77.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

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
    need_python,
    people_of,
)
from tests.e2e.commands import fetch, need, run, skip
from tests.e2e.emulator import find_qemu
from tests.e2e.own_python import put_python

PYTHON = {"trixie": "3.13", "bookworm": "3.11"}
GLIBC = {"trixie": 41, "bookworm": 36}  # 2.x
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
PACKAGES = ["libstdc++6", "libc6", "libgcc-s1", "base-files"]
LITERT = "ai-edge-litert"  # the newest, as a Pi's pip chooses
TFLITE = "tflite-runtime"
SITE = "opt/pipose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the root is: Debian suite, architecture, folder, version of its Python."""

    suite: str
    arch: str
    root: Path
    python: str

    @property
    def debian_python(self) -> bool:
        """Whether the suite has this Python; otherwise this machine's is put in."""
        return PYTHON[self.suite] == self.python

    @property
    def emulated(self) -> bool:
        """Whether qemu runs it."""
        return os.uname().machine != MACHINE[self.arch]


def make_root(target: Target, emulator: Path | None = None) -> None:
    """Unpack a minimal Debian without running its scripts, and add the links that they would have made."""
    packages = PACKAGES + (["python3", "libpython3-stdlib"] if target.debian_python else [])
    packages += [f"libpython{target.python}-dev"] if target.emulated else []
    words = [f"--arch={target.arch}", "--variant=extract", f"--include={','.join(packages)}"]
    fetch("mmdebstrap", *words, target.suite, target.root)
    for name in ("bin", "lib", "lib64", "sbin"):
        if (target.root / "usr" / name).is_dir() and not (target.root / name).exists():
            (target.root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "tmp"):
        (target.root / name).mkdir(exist_ok=True)
    if not target.debian_python:
        (target.root / "usr/bin").mkdir(parents=True, exist_ok=True)
        program = put_python(target.python, target.root)
        (target.root / f"usr/bin/python{target.python}").symlink_to(program)
    if emulator is not None:
        shutil.copy(emulator, target.root / "qemu-static")


def need_cross_compiler(machine: str) -> None:
    """Skip unless there is a compiler for a foreign machine, and its C library's headers."""
    need(f"{machine}-linux-gnu-gcc")
    if not Path(f"/usr/{machine}-linux-gnu/include/stdio.h").is_file():
        skip(f"not installed: the C library's headers for {machine} (Debian: libc6-dev-arm64-cross)")


def cross_build(target: Target, folder: Path) -> dict[str, str]:
    """The environment variables that make setuptools build for a foreign machine."""
    if not target.emulated:
        return {}
    machine, digits = MACHINE[target.arch], target.python.replace(".", "")
    headers, include = target.root / "usr/include", folder / "include"
    include.mkdir()  # Python's headers of the root, but not its C library's
    (include / f"{machine}-linux-gnu").symlink_to(headers / f"{machine}-linux-gnu")
    gcc = f"{machine}-linux-gnu-gcc"
    return {
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{digits}-{machine}-linux-gnu.so",
        "CC": f"{gcc} -I{headers}/python{target.python} -I{include}",
        "LDSHARED": f"{gcc} -shared",
    }


def install(target: Target, wheel: Path, interpreter: str) -> None:
    """Put pipose and what it needs into one folder of the root."""
    site = target.root / SITE
    names = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, GLIBC[target.suite] + 1))]
    platforms = [f"{name}_{MACHINE[target.arch]}" for name in names]
    words = [w for p in platforms for w in ("--platform", p)]
    words += ["--python-version", target.python, "--implementation", "cp", "--only-binary=:all:"]
    packages = ["numpy<2", "pillow", interpreter]
    if interpreter != TFLITE:
        packages = ["numpy", "pillow", LITERT]
    # by the pip of this very version, for another one's takes no package that its own Python is too old for
    fetch(need_python(target.python), "-m", "pip", "install", "-q", "--target", site, *words, *packages)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def pipose(target: Target, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the runtime inside the root, with /proc and a read-only /sys."""
    emulator = ["/qemu-static", "-cpu", "cortex-a72"] if target.emulated else []
    inside = [*emulator, f"/usr/bin/python{target.python}", "-m", "rpi_runtime", *words]
    mounts = (
        f"mount -t proc proc {target.root}/proc && mount -t sysfs -o ro sysfs {target.root}/sys && "
        f'exec env -i PATH="$PATH" PYTHONPATH=/{SITE} LANG=C.UTF-8 chroot {target.root} "$@"'
    )
    return run("unshare", "--mount", "sh", "-c", mounts, "sh", *inside)


def check(target: Target, model_path: Path, images: Path, count: int, *, loose: bool) -> None:
    """Run everything in the root and compare."""
    folder = target.root / "data"
    folder.mkdir()
    shutil.copy(model_path, folder / "m.tflite")
    limits = LOOSE if loose else STRICT
    pictures = copy_pictures(images, count, folder / "pictures")
    wanted = expected(Model(model_path, threads=1), pictures)
    findings = json.loads(pipose(target, "doctor", "--model", "/data/m.tflite", "--json").stdout)
    for finding in findings:
        print(f"  doctor: {finding['level']:8} {finding['topic']:12} {finding['text']}")
    assert not any(f["level"] == "error" for f in findings)
    common = ["--model", "/data/m.tflite", "--sink", "jsonl:-", "--track", "off"]
    done = pipose(target, "run", *common, "--source", "images:/data/pictures")
    print(f"  images: {compare(done.stdout.splitlines(), wanted, *limits)}")
    if not loose:
        words = [
            "--model",
            model_path,
            "--sink",
            "jsonl:-",
            "--track",
            "off",
            "--source",
            f"images:{folder / 'pictures'}",
        ]
        here = run(sys.executable, "-m", "rpi_runtime", "run", *words, cwd=CHECKOUT)
        assert people_of(done.stdout) == people_of(here.stdout), "not the checkout's people, bit for bit"
        print("  images: every message's people equal the checkout's, bit for bit")
    record = ["--source", "images:/data/pictures", "--output", "/data/walk.zip", "--format", "png"]
    pipose(target, "record", *record)
    done = pipose(target, "run", *common, "--source", "replay:/data/walk.zip,pace=free")
    print(f"  replay: {compare(done.stdout.splitlines(), wanted, *limits)}")


def main() -> None:
    """Make the root, run in it, remove it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_pictures(parser, 8)
    parser.add_argument("--suite", choices=PYTHON, default="trixie")
    parser.add_argument("--arch", choices=MACHINE, default="amd64")
    parser.add_argument("--interpreter", choices=["ai-edge-litert", TFLITE], default="ai-edge-litert")
    args = parser.parse_args()
    if os.geteuid() != 0:
        skip("needs root, to mount and to change the root")
    need("mmdebstrap", "unshare", "chroot")
    with tempfile.TemporaryDirectory(prefix="pipose-root-") as folder:
        target = Target(
            suite=args.suite, arch=args.arch, root=Path(folder) / "root", python=PYTHON[args.suite]
        )
        if target.emulated:
            need_cross_compiler(MACHINE[target.arch])
        emulator = find_qemu(MACHINE[target.arch], Path(folder)) if target.emulated else None
        make_root(target, emulator)
        wheel = build_wheel(target.python, Path(folder), cross_build(target, Path(folder)))
        install(target, wheel, args.interpreter)
        print(f"{target.suite} {target.arch}: Python {target.python}, {wheel.name}, no OpenCV")
        loose = args.interpreter == TFLITE  # its own kernels round differently
        check(target, args.model, args.images, args.count, loose=loose)


if __name__ == "__main__":
    main()
