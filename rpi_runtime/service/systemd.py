"""Commands of systemd and of the user database."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

from rpi_runtime.errors import DependencyError, PiposeError, UsageError
from rpi_runtime.files import writing
from rpi_runtime.service.changes import MAYBE_READ_ONLY
from rpi_runtime.service.layout import GROUP, NAME, USER, Layout


def check_privileges(layout: Layout, command: str) -> None:
    """Raise if this machine's own root is to be changed without being root or without systemd."""
    if not layout.live:
        return
    if os.geteuid() != 0:
        raise UsageError(f"{command} changes /etc and needs root; run it again with sudo in front")
    if not Path("/run/systemd/system").is_dir():
        raise DependencyError(
            "this machine was not started by systemd, so it cannot run a service; use "
            "the command `run` under your own supervisor, or --root DIR to prepare another system"
        )


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl."""
    try:
        return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise DependencyError("systemctl is not installed", remedy="apt install systemd") from err


def is_active() -> bool:
    """Whether the service runs or is starting."""
    return systemctl("is-active", NAME).stdout.strip() in ("active", "activating", "reloading")


def start(*, restart: bool) -> str:
    """Start the service, wait for its first result and return its status text."""
    systemctl("reset-failed", NAME)
    done = systemctl("restart" if restart else "start", NAME)
    status = systemctl("show", "--value", "--property=StatusText", NAME).stdout.strip()
    if done.returncode:
        why = f": {status}" if status else ""
        raise PiposeError(f"installed, but the service did not start{why}; see `journalctl -u {NAME} -n 20`")
    return status


def has_user(layout: Layout) -> bool:
    """Whether the service's user exists and belongs to the cameras' group."""
    return _entry(layout, "passwd", USER) is not None and _in_group(layout)


def can_make_user(layout: Layout) -> bool:
    """Whether the user can be created here. In another system's root, that system's boot creates it."""
    return layout.live or shutil.which("systemd-sysusers") is not None


def make_user(layout: Layout) -> None:
    """Create the user by its declaration."""
    words = ["systemd-sysusers", *([] if layout.live else [f"--root={layout.root}"]), layout.user.name]
    _run(words, "the service's user could not be made")


def remove_user(layout: Layout) -> None:
    """Remove the user and its group."""
    if _entry(layout, "passwd", USER) is not None:
        root = [] if layout.live else [f"--prefix={layout.root}"]
        _run(["userdel", *root, USER], "the service's user could not be removed")


def restrict(layout: Layout) -> None:
    """Let only root and the service read the configuration: it may hold a token or a password."""
    group = _entry(layout, "group", USER)
    owner = (0, int(group[2])) if group is not None and group[2].isdigit() and os.geteuid() == 0 else None
    # without the group, only the owner can read it until the boot assigns the group
    mode = 0o640 if owner else 0o600
    for path in (layout.config, layout.config.with_name(f"{layout.config.name}.new")):
        with writing(path, MAYBE_READ_ONLY), contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                continue
            if owner and (found.st_uid, found.st_gid) != owner:
                os.chown(path, *owner)
            if stat.S_IMODE(found.st_mode) != mode:
                path.chmod(mode)


def _run(words: list[str], failure: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise DependencyError(f"{failure}: {words[0]} is not installed") from err
    if done.returncode:
        raise PiposeError(f"{failure}: {' '.join(done.stderr.split()) or words[0]}")


def _entry(layout: Layout, table: str, name: str) -> list[str] | None:
    """One entry of /etc/passwd or /etc/group."""
    try:
        text = layout.inside(Path("/etc") / table).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None
    lines = text.splitlines()
    entries = (line.split(":") for line in lines)
    return next((e for e in entries if e[0] == name and len(e) > 3), None)


def _in_group(layout: Layout) -> bool:
    group = _entry(layout, "group", GROUP)
    return group is not None and USER in group[-1].split(",")
