"""The README's set-up on a bare Debian: ``python -m tests.e2e.readme_root [--suite trixie]``.

Makes a root of Debian with apt and with the packages that the README lists, and nothing else, copies the sources into
it, and runs the README's block there: a virtual environment, the installation, the main job. Prints seconds, processor
time, megabytes and the gate's figures. No Debian has Python 3.12: with `--python 3.12`, this machine's is `python3` in
the root.

Needs root, mmdebstrap, a Debian mirror and PyPI. Where one is missing it says which, and exits with 77.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from tests.e2e.checkout import Stopwatch, copy_sources, readme_block
from tests.e2e.commands import fetch, need, skip
from tests.e2e.own_python import put_python
from tests.e2e.pythons import result_of, size_of

SUITES = ("trixie", "bookworm")
PLACE = "srv/pipose"
DEVICES = ("null", "zero", "urandom")
# How this machine reaches the registries is its owner's affair; the root is given the same way.
NETWORK = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")
SETTINGS = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def make_root(suite: str, root: Path, python: str | None) -> list[str]:
    """Make the root, maybe with a Python of this machine; returns the packages that the README names."""
    packages = readme_block("packages").partition("apt install ")[2].split()
    fetch("mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, root)
    for name in NETWORK:
        if Path("/", name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).unlink(missing_ok=True)
            shutil.copy(Path("/", name), root / name)
    if python:
        (root / "usr/local/bin/python3").symlink_to(put_python(python, root))
    copy_sources(root / PLACE)
    return packages


def inside(root: Path, words: str) -> str:
    """Run a line of shell in the root, in the sources; return the seconds it took, in words."""
    devices = " && ".join(
        f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in DEVICES
    )
    kept = [f"{k}={v}" for k, v in os.environ.items() if k.upper().startswith(SETTINGS)]
    enter = f'mount -t proc proc {root}/proc && {devices} && exec env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 "$@"'
    watch = Stopwatch()
    command = f"cd /{PLACE} && {words}"
    within = ["unshare", "--mount", "sh", "-c", enter, "sh", *kept, "chroot", root]
    fetch(*within, "bash", "-euc", command, patience_s=None)  # it also builds
    return str(watch)


def main() -> None:
    """Make the root, run the README in it, remove it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, default=SUITES[0], help="(default: %(default)s)")
    parser.add_argument("--python", help="this machine's Python of this version (default: the Debian's own)")
    args = parser.parse_args()
    if os.geteuid() != 0:
        skip("needs root, to mount and to change the root")
    need("mmdebstrap", "unshare", "chroot")
    setup, _, job = readme_block("setup").rpartition("&&")
    with tempfile.TemporaryDirectory(prefix="pipose-readme-") as name:
        root = Path(name) / "root"
        packages = make_root(args.suite, root, args.python)
        put_in = f", and this machine's Python {args.python}" if args.python else ""
        print(f"{args.suite} with {', '.join(packages)}{put_in}", flush=True)
        spent = inside(root, setup)
        megabytes = size_of(root / PLACE / ".venv")
        print(f"  set-up {spent}, {megabytes:.0f} MB", flush=True)
        spent = inside(root, job)
        figures, checksum = result_of(root / PLACE / "models")
        print(f"  main job {spent}; {figures}; network {checksum.decode()}")


if __name__ == "__main__":
    main()
