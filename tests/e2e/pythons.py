"""The README's set-up and main job on each Python: ``python -m tests.e2e.pythons [--python 3.13]``.

For each of 3.11, 3.12 and 3.13 that this machine has, from the PATH or pyenv: a new virtual environment with this
checkout's wheel and the extras of the README, and the main job in it, without a network where namespaces are allowed.
It prints seconds, megabytes and the gate's figures, and fails where PyTorch or CUDA came along, where the set-up takes
more than 2 GB, where a gate refuses the file, or where two Pythons make different INT8 networks.

Needs PyPI. Exits with 77 where none of the Pythons is there, or PyPI is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.checkout import build_wheel, find_python, readme_block
from tests.e2e.commands import SkippedError, fetch, run, skip

VERSIONS = ("3.11", "3.12", "3.13")
MOST_MB = 2000
NOT_WANTED = ("torch", "nvidia", "tensorflow")  # folders in site-packages
MODEL = "lw-openpose-160x120-int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One Python's row: seconds of set-up and job, size of the environment, figures of the gate, network's checksum."""

    version: str
    setup_s: float
    job_s: float
    megabytes: float
    figures: str
    checksum: bytes

    def __str__(self) -> str:
        """The row of a table in Markdown."""
        return (
            f"| {self.version} | {self.setup_s:.0f} | {self.megabytes:.0f} | {self.job_s:.0f} | {self.figures} | "
            f"{self.checksum.decode()} |"
        )


HEADER = """\
| Python | set-up, s | MB | main job, s | gate | INT8 network |
|---|---|---|---|---|---|"""


def extras() -> str:
    """Return what the README's set-up installs, as in ``export,live``."""
    match = re.search(r"'\.\[([\w,]+)\]'", readme_block("setup"))
    assert match is not None
    return match[1]


def set_up(version: str, folder: Path) -> tuple[Path, float]:
    """Make an environment with the checkout's wheel; return its Python, and the seconds that took."""
    python, environment = find_python(version), folder / "venv"
    assert python is not None
    begin = time.monotonic()
    wheel = build_wheel(version, folder)
    run(python, "-m", "venv", environment)
    fetch(environment / "bin/python", "-m", "pip", "install", "-q", f"{wheel}[{extras()}]")
    return environment / "bin/python", time.monotonic() - begin


def try_python(version: str, folder: Path) -> Outcome:
    """Run the main job on one Python."""
    python, setup_s = set_up(version, folder)
    megabytes = size_of(folder / "venv")
    begin = time.monotonic()
    words = [
        *_alone(),
        python,
        "-m",
        "export.tflite",
        "--model",
        "lw-openpose",
        "--int8",
        "--output",
        folder / "models",
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run(*words, cwd=folder, env=environment)
    job_s = time.monotonic() - begin
    figures, checksum = result_of(folder / "models")
    return Outcome(
        version=version, setup_s=setup_s, job_s=job_s, megabytes=megabytes, figures=figures, checksum=checksum
    )


def size_of(environment: Path) -> float:
    """Return the megabytes of a virtual environment; an assertion fails where more than is wanted came along."""
    site = next((environment / "lib").iterdir()) / "site-packages"
    assert not (found := [n for n in NOT_WANTED if (site / n).exists()]), f"{', '.join(found)} came along"
    megabytes = sum(p.lstat().st_size for p in environment.rglob("*") if p.is_file()) / 1e6
    assert megabytes <= MOST_MB, f"{megabytes:.0f} MB"
    return megabytes


def result_of(folder: Path) -> tuple[str, bytes]:
    """Return the gate's figures of a main job that passed, in words, and the checksum of its INT8 network."""
    report = json.loads((folder / f"{MODEL}.report.json").read_text())
    agreement, checks = report["agreement"], report["checks"]
    assert report["passed"] and all(check["passed"] for check in checks)
    with zipfile.ZipFile(folder / f"{MODEL}.tflite") as archive:
        checksum = archive.comment.split()[-1]
    figures = (
        f"{len(checks)} checks hold; heatmaps {agreement['heatmap_rmse']:.4f}, "
        f"PAFs {agreement['paf_relative_l2']:.3f}, lost {agreement['lost']:.1%}"
    )
    return figures, checksum


def _alone() -> list[str]:
    """A network namespace with nothing in it, where that is allowed."""
    words = ["unshare", "-rn"]
    allowed = (
        shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    )
    return words if allowed else []


def main() -> None:
    """Try each Python, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", choices=VERSIONS, action="append", help="(default: every one that is here)"
    )
    parser.add_argument("--newer", action="store_true", help="only the newest that is newer than this one")
    parser.add_argument("--with", dest="others", type=Path, action="append", default=[], metavar="FILE.tflite",
                        help="the same network from elsewhere, to be compared with")  # fmt: skip
    args = parser.parse_args()
    here = "{}.{}".format(*sys.version_info)
    wanted = args.python or [v for v in VERSIONS if find_python(v)]
    if args.newer:
        wanted = [v for v in wanted if v > here][-1:]
    missing = [v for v in wanted if not find_python(v)]
    if not wanted or missing:
        skip(f"no Python {', '.join(missing) or f'newer than {here}'} with pip on this machine")
    checksums = {path.name: zipfile.ZipFile(path).comment.split()[-1] for path in args.others}
    print(HEADER, flush=True)
    for version in wanted:
        with contextlib.suppress(SkippedError), tempfile.TemporaryDirectory(prefix="pipose-python-") as name:
            outcome = try_python(version, Path(name))
            print(outcome, flush=True)
            checksums[version] = outcome.checksum
    if len(set(checksums.values())) > 1:
        sys.exit(f"different INT8 networks: {checksums}")
    if checksums.keys().isdisjoint(wanted):
        raise SkippedError  # each has said why


if __name__ == "__main__":
    main()
