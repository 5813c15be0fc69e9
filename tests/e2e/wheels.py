"""Every wheel that a release has, built and tried: ``python -m tests.e2e.wheels --model M.tflite --images FOLDER``.

x86-64 and aarch64 (cross-built), Python 3.11 to 3.13; each in a minimal root of the Debian that has this Python, with
the newest LiteRT, aarch64 as a Cortex-A72 under qemu. The people found must be the checkout's, bit for bit. No Debian
has Python 3.12: for its x86-64 wheel, this machine's 3.12 is put into the root; its aarch64 wheel is built with the
headers of x86-64's 3.12 and looked at, and not run.

Two wheels at a time, each in a process of its own. It prints the seconds of each and its processor time, which is what
it costs on a busy machine too. One that cannot be tried here says why; where none can be, the exit code is 77.

Needs what `tests.e2e.debian_root` needs. `--output DIR` keeps the wheels, `--only 3.13-aarch64` tries one of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.checkout import (
    CHECKOUT,
    Stopwatch,
    add_pictures,
    build_wheel,
    need_python,
)
from tests.e2e.commands import SKIPPED, SkippedError, need, run, skip
from tests.e2e.debian_root import (
    LITERT,
    MACHINE,
    Target,
    check,
    cross_build,
    install,
    make_root,
    need_cross_compiler,
)
from tests.e2e.emulator import find_qemu

WITHOUT_ROOT = "3.12-aarch64"
# By name: the Debian in whose root it runs. Those that take longest come first.
WHEELS = {
    "3.13-aarch64": "trixie", "3.11-aarch64": "bookworm", WITHOUT_ROOT: "",
    "3.11-x86_64": "bookworm", "3.12-x86_64": "trixie", "3.13-x86_64": "trixie",
}  # fmt: skip
AT_A_TIME = 2


def in_root(target: Target, folder: Path, args: argparse.Namespace) -> Path:
    """Build the wheel of a root's Python and architecture, run it there, and return it."""
    if target.emulated:
        need_cross_compiler(MACHINE[target.arch])
    emulator = (args.emulator or find_qemu(MACHINE[target.arch], folder)) if target.emulated else None
    make_root(target, emulator)
    wheel = build_wheel(target.python, folder, cross_build(target, folder))
    install(target, wheel, LITERT)
    put_in = "" if target.debian_python else f", with this machine's Python {target.python}"
    print(f"{wheel.name}: in a minimal {target.suite}, {target.arch}{put_in}")
    check(target, args.model.resolve(), args.images, args.count, loose=False)
    return wheel


def only_built(folder: Path) -> Path:
    """Build the aarch64 wheel of a Python that no Debian has, and look at its extension modules."""
    version, _, machine = WITHOUT_ROOT.partition("-")
    need_cross_compiler(machine)
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    headers = run(need_python(version), "-c", code).stdout.strip()
    gcc = f"{machine}-linux-gnu-gcc"
    environment = {
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{version.replace('.', '')}-{machine}-linux-gnu.so",
        "CC": f"{gcc} -I{headers}",
        "LDSHARED": f"{gcc} -shared",
    }
    wheel = build_wheel(version, folder, environment)
    with zipfile.ZipFile(wheel) as archive:
        modules = [n for n in archive.namelist() if n.endswith(".so")]
        # e_machine of ELF
        assert modules and all(archive.read(n)[18] == 183 for n in modules), "not for AArch64"
    print(
        f"{wheel.name}: built, {len(modules)} modules for AArch64; not run, since no Debian has this Python"
    )
    return wheel


def try_wheel(name: str, args: argparse.Namespace) -> None:
    """Build and try one wheel."""
    watch = Stopwatch()
    version, _, machine = name.partition("-")
    with tempfile.TemporaryDirectory(prefix="pipose-wheels-") as place:
        folder = Path(place)
        if name == WITHOUT_ROOT:
            wheel = only_built(folder)
        else:
            (arch,) = (a for a, m in MACHINE.items() if m == machine)
            target = Target(suite=WHEELS[name], arch=arch, root=folder / "root", python=version)
            wheel = in_root(target, folder, args)
        if args.output:
            shutil.copy(wheel, args.output)
    print(f"  {watch}", flush=True)


def try_side_by_side(names: list[str], args: argparse.Namespace) -> int:
    """Try each wheel in a process of its own, and return the exit code of all of them."""
    watch = Stopwatch()
    words = [sys.executable, "-m", "tests.e2e.wheels", "--model", args.model, "--images", args.images]
    words += ["--count", args.count] + (["--output", args.output] if args.output else [])
    with tempfile.TemporaryDirectory(prefix="pipose-qemu-") as folder, ThreadPoolExecutor(AT_A_TIME) as pool:
        left: list[str] = []
        if any(map(needs_emulator, names)):
            try:
                words += ["--emulator", find_qemu(MACHINE["arm64"], Path(folder))]  # once for all
            except SkippedError:
                left = [name for name in names if needs_emulator(name)]
                print(f"{', '.join(left)}: skipped, for want of an emulator", flush=True)

        def attempt(name: str) -> int:
            command = [str(word) for word in [*words, "--only", name]]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=CHECKOUT
            )
            said = done.stdout if done.returncode in (0, SKIPPED) else f"{done.stdout}  FAILED\n"
            print(f"{name}: {said}", end="", flush=True)
            return done.returncode

        codes = [SKIPPED for _ in left] + list(pool.map(attempt, [n for n in names if n not in left]))
    failed, skipped = sum(code not in (0, SKIPPED) for code in codes), codes.count(SKIPPED)
    passed, load = len(codes) - failed - skipped, os.getloadavg()[0]
    print(f"{passed} wheels passed, {failed} failed, {skipped} skipped: {watch}, load {load:.1f}")
    return 1 if failed else SKIPPED if skipped == len(codes) else 0


def needs_emulator(name: str) -> bool:
    """Whether a wheel is for another machine than this one, and is run."""
    return name != WITHOUT_ROOT and not name.endswith(os.uname().machine)


def main() -> int:
    """Try the wheels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_pictures(parser, 4)
    parser.add_argument(
        "--only", choices=WHEELS, action="append", default=[], help="these wheels (default: all)"
    )
    parser.add_argument("--output", type=Path, help="keep the wheels here")
    parser.add_argument(
        "--emulator", type=Path, help="a static qemu, 10 or later (default: one is looked for)"
    )
    args = parser.parse_args()
    for name in ("model", "images", "output"):
        if getattr(args, name):
            setattr(args, name, getattr(args, name).resolve())
    if os.geteuid() != 0:
        skip("needs root, to mount and to change the root")
    need("mmdebstrap", "unshare", "chroot")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
    wanted = args.only or list(WHEELS)
    if len(wanted) > 1:
        return try_side_by_side(wanted, args)
    try_wheel(wanted[0], args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
