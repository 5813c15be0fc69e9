"""A minimal Debian with systemd, booted by systemd-nspawn, and commands run in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from tests.e2e.commands import fetch

PACKAGES = ["systemd", "python3", "procps", "passwd", "libstdc++6"]
# What dpkg would sync to disk or unpack, and nobody needs in a root that lives for a minute.
OPTIONS = [
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
]
_BOOT_S = 60.0


def make_root(suite: str, root: Path, *further: str) -> None:
    """Make a root of `suite` with systemd, python3 and further packages; they are configured."""
    words = ["--variant=essential", f"--include={','.join([*PACKAGES, *further])}", *OPTIONS]
    fetch("mmdebstrap", *words, suite, root)


def why_not(root: Path) -> str:
    """Why nothing can be run in a root here, in one line; empty when it can."""
    done = subprocess.run(
        [*_nspawn(root), "--quiet", "/bin/true"], capture_output=True, text=True, check=False
    )
    return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1] if done.returncode else ""


def _nspawn(root: Path) -> list[str]:
    options = ["--register=no", "--keep-unit", "--private-network", "--console=pipe"]
    return ["setpriv", "--pdeathsig=TERM", "systemd-nspawn", f"--directory={root}", *options]


def end_on_sigterm() -> None:
    """Have SIGTERM end this process like an error, so that containers and folders are cleaned up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _control_groups() -> set[Path]:
    """The control groups that nspawn makes inside the caller's, in each hierarchy of systemd's."""
    found = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, name, path = line.split(":", 2)
        if number == "0" or name == "name=systemd":
            for mount in ("", "systemd", "unified"):
                groups = Path("/sys/fs/cgroup") / mount / path.lstrip("/")
                found |= {g for g in (groups / "payload", groups / "supervisor") if g.is_dir()}
    return found


def _remove_empty(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # a process is left in it
            Path(folder).rmdir()


class Container:
    """A booted root, without a network, as long as the context lasts.

    It is registered nowhere and keeps the caller's control group, so it needs no systemd outside. Whatever it
    mounts is in a mount namespace of its own and goes with it.

    Parameters
    ----------
    root : path
    log : path
        File for what the boot prints.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self._log_path = root, log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._leader = 0
        self._groups = _control_groups()

    def __enter__(self) -> Container:
        # systemd 256 and later refuse to boot on control groups of version 1
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        self._log = self._log_path.open("wb")
        self._nspawn = subprocess.Popen(
            [*_nspawn(self.root), "--boot"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process in it: PID 1 of a PID namespace takes the others along."""
        assert self._nspawn is not None and self._log is not None
        if self._leader:
            os.kill(self._leader, signal.SIGKILL)
        self._nspawn.terminate()
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._log.close()
        for group in _control_groups() - self._groups:
            _remove_empty(group)

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it; what it said is shown when it fails, unless that is expected."""
        enter = ["nsenter", f"--target={self._leader}", "--all", "--wd=/", "--", "env", "-i"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*enter, path, "LANG=C.UTF-8", *words],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + _BOOT_S
        while time.monotonic() < deadline:
            assert self._nspawn is not None
            if self._nspawn.poll() is not None:
                break
            self._leader = self._leader or self._find_leader(self._nspawn.pid)
            if self._leader:
                state = self("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise AssertionError(f"the container did not boot:\n{self._log_path.read_text(errors='replace')}")

    @staticmethod
    def _find_leader(nspawn: int) -> int:
        """PID 1 of the container, seen from outside: the child of nspawn that is systemd by now."""
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0
