"""An emulator of the Pi's processor that runs LiteRT 2.3: qemu 7.2 of bookworm crashes, qemu 10 of trixie does not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.e2e.commands import fetch, need

LEAST = 10  # major version
SUITE = "trixie"


def find_qemu(machine: str, folder: Path) -> Path:
    """Return a static qemu of user mode for `machine`, from this system or unpacked into `folder`; skips without."""
    for name in (f"qemu-{machine}-static", f"qemu-{machine}"):
        found = shutil.which(name)
        if found and major_version(Path(found)) >= LEAST:
            return Path(found)
    need("mmdebstrap")
    root = folder / "qemu"
    fetch("mmdebstrap", "--variant=extract", "--include=qemu-user", SUITE, root)
    kept = folder / f"qemu-{machine}"
    shutil.move(root / "usr/bin" / kept.name, kept)
    shutil.rmtree(root)
    return kept


def major_version(qemu: Path) -> int:
    """Return the version's first number."""
    said = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\d+)\.", said)
    return int(match[1]) if match else 0
