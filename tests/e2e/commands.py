"""The commands that the end-to-end scripts run, and how a script ends where something is missing or out of reach."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

SKIPPED = 77
PATIENCE_S = 1200.0  # a minimal Debian takes half a minute, an environment of pip a few
# What apt, pip and their libraries say of a server that does not answer, or not with what it was asked for.
_OUT_OF_REACH = re.compile(
    r"could not (connect|resolve)|unable to connect|connect\w* (refused|reset|aborted|failed|broken|timed out)"
    r"|failed to establish a new connection|network is unreachable|no route to host|temporary failure"
    r"|name or service not known|timed? ?out|max retries exceeded|remote end closed|incompleteread|proxyerror"
    r"|\b(500 +internal|502 +bad|503 +service|504 +gateway)|(500|502|503|504) server error",
    re.IGNORECASE,
)
_ERROR = re.compile(r"\s*(E|ERROR|error): ")
_NOTHING_OFFERED = "(from versions: none)"  # pip has seen no list of versions at all


class SkippedError(SystemExit):
    """Something is missing here, which has been said; ends a script with `SKIPPED`."""

    def __init__(self) -> None:
        super().__init__(SKIPPED)


def skip(reason: str) -> NoReturn:
    """End, saying what is missing."""
    print(f"skipped: {reason}", flush=True)
    raise SkippedError


def which_missing(*names: str) -> list[str]:
    """Return those of these programs that are not installed."""
    return [name for name in names if not shutil.which(name)]


def need(*names: str) -> None:
    """Skip unless all these programs are installed."""
    if missing := which_missing(*names):
        skip(f"not installed: {', '.join(missing)}")


def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command; show what it said when it fails."""
    return ended(subprocess.run([str(w) for w in words], capture_output=True, text=True, **options))  # type: ignore[call-overload]


def ended(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Return a command that has ended; show what it said, and end, where it failed."""
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
        raise SystemExit(f"failed with {done.returncode}: {' '.join(done.args)}")
    return done


def fetch(*words: str | Path, patience_s: float | None = PATIENCE_S, **options: object) -> str:
    """Run a command that downloads, and return what it printed.

    Parameters
    ----------
    words : str or path
    patience_s : float or None
        Seconds after which nothing is expected any more; None for a command that also builds.
    options
        Of `subprocess.Popen`.

    Raises
    ------
    SkippedError
        A server is out of reach, or there was no end within `patience_s`.
    SystemExit
        The command failed otherwise.
    """
    command = [str(word) for word in words]
    shown = " ".join(command)
    # in a session of its own, so that what it starts ends with it
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )  # type: ignore[call-overload]
    with process:
        try:
            out, err = process.communicate(timeout=patience_s)
        except BaseException as end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(end, subprocess.TimeoutExpired):
                skip(f"{Path(command[0]).name} was not done within {patience_s:.0f} s: {shown[:300]}")
            raise
    if process.returncode and (reason := out_of_reach(out + "\n" + err)):
        skip(f"out of reach for {Path(command[0]).name}: {reason[:300]}")
    return ended(subprocess.CompletedProcess(command, process.returncode, out, err)).stdout


def out_of_reach(said: str) -> str:
    """Return the line of a failed command that tells of a server out of reach; empty where it failed otherwise.

    A warning alone is none: pip goes on to the next index, and may fail for a reason of its own.
    """
    lines = [line.strip() for line in said.splitlines() if _OUT_OF_REACH.search(line)]
    if _NOTHING_OFFERED in said and lines:
        return lines[-1]
    return next((line for line in lines if _ERROR.match(line)), "")
