"""The service under a real systemd, fault by fault: ``python -m tests.e2e.service``.

Makes a minimal Debian with systemd, puts pipose's wheel into a virtual environment in somebody's closed home,
with a space in its path, boots it with systemd-nspawn, and does there what a user and bad luck do. Prints a
table of the faults: what happened, and how long it took until there were poses again.

Needs root, mmdebstrap, systemd-nspawn, a Debian mirror, PyPI, and a Python of the suite's version. Where one is
missing it says which, and exits with 77. ``--watchdog 0`` keeps the unit's own 30 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.checkout import build_wheel, find_python
from tests.e2e.commands import fetch, need, skip
from tests.e2e.container import Container, end_on_sigterm, make_root, why_not
from tests.e2e.service_steps import STEPS, Case
from tests.rpi_runtime.service.recording import write_recording
from tests.rpi_runtime.toys import write_toy

SUITES = {"trixie": "3.13", "bookworm": "3.11"}
HOME = Path("home/pi")
ENVIRONMENT = HOME / "pose env"


def make_environment(version: str, folder: Path, *further: str) -> Path:
    """Install the wheel, what it depends on, and further packages into a virtual environment without pip."""
    wheel = build_wheel(version, folder)
    environment = folder / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(f"/usr/bin/python{version}")
    (environment / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    site = environment / f"lib/python{version}/site-packages"
    fetch(str(find_python(version)), "-m", "pip", "install", "-q", "--target", site, wheel, *further)
    return environment


def prepare(suite: str, folder: Path) -> Path:
    """Make the root, with everything in it that the steps need."""
    root = folder / "root"
    with ThreadPoolExecutor(1) as builder:
        made = builder.submit(make_environment, SUITES[suite], folder)
        make_root(suite, root)
        environment = made.result()
    (root / HOME).mkdir(mode=0o700, parents=True)
    shutil.move(environment, root / ENVIRONMENT)
    write_toy(root / HOME / "toy 100%.tflite")
    (root / "srv").mkdir(exist_ok=True)
    write_recording(root / "srv/walk.zip", frames=40, fps=20)
    return root


def main() -> None:
    """Make the root, boot it, run the steps, remove it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, help="(default: trixie where there is a Python for it)")
    parser.add_argument(
        "--watchdog", type=int, default=5, help="seconds, to be quicker (default: %(default)s)"
    )
    args = parser.parse_args()
    if os.geteuid() != 0:
        skip("needs root, to boot a container")
    need("mmdebstrap", "systemd-nspawn", "nsenter")
    suites = [args.suite] if args.suite else list(SUITES)
    suite = next((s for s in suites if find_python(SUITES[s])), None)
    if suite is None:
        skip(f"no Python {' or '.join(SUITES[s] for s in suites)} with pip to build the wheel with")
    end_on_sigterm()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pipose-service-") as name:
        folder = Path(name)
        root = prepare(suite, folder)
        if reason := why_not(root):
            skip(f"systemd-nspawn does not work on this machine: {reason}")
        print(f"{suite}: root and wheel made in {time.monotonic() - begin:.0f} s", flush=True)
        with Container(root, folder / "boot.log") as container:
            case = Case(container, python=f"/{ENVIRONMENT}/bin/python", model=f"/{HOME}/toy 100%.tflite")
            case.watchdog_s = args.watchdog
            failed = sum(not case.attempt(step) for step in STEPS)
            if failed:
                print(case.journal()[-8000:])
    print(f"all of it took {time.monotonic() - begin:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
