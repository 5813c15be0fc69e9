"""What people's cameras, disks, clocks, brokers and terminals do to the runtime: each case run, counted and judged.

    python -m tests.benchmarks.field [--cases ../shared/cases/pi] [NAME ...]

Each case is a run of the command line with the toy network and one fault, from a folder of `../shared/cases/pi` or of
the same kind. A line says what was seen and whether that is right. Exit code 1 when something is not. Needs Linux;
gcc for the camera played to OpenCV's own V4L2 backend, ffmpeg, mosquitto, nginx and root for some cases: without
them a case is skipped, with its reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.field import boot, brokers, outputs, page, service, sources  # noqa: F401  they register their cases
from tests.benchmarks.field.world import CASES, ROOT, SkippedError, World, WrongError


def main() -> int:
    """Run the cases that were named, or all, and print what came of each."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.field",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(CASES)}")
    parser.add_argument("--cases", type=Path, default=ROOT.parent / "shared/cases/pi")
    given = parser.parse_args()
    wrong = 0
    for name in given.names or CASES:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pipose-field-") as folder:
            try:
                text = f"ok       {CASES[name](World(Path(folder), given.cases.resolve()))}"
            except SkippedError as why:
                text = f"skipped  {why}"
            except (WrongError, subprocess.TimeoutExpired) as why:
                text, wrong = f"WRONG    {why}", wrong + 1
        print(f"{name:16} {time.monotonic() - begin:5.1f} s  {text}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
