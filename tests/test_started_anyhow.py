"""The tests give the same result in a terminal, in a background job and under `nohup`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STARTS = {
    "terminal": "exec",
    "background job": "trap '' INT QUIT; exec",
    "nohup": "trap '' HUP; exec",
    "service manager": "trap '' INT QUIT TERM HUP; exec",
}


def test_a_child_can_be_stopped() -> None:
    """Run by the next test, too, in a pytest that inherited ignored signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(number)
        assert child.wait(30) == -number
        child.stdout.close()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_signals_that_the_starter_ignores_are_not_ignored_by_children(start: str) -> None:
    test = f"{Path(__file__)}::{test_a_child_can_be_stopped.__name__}"
    command = f"{start} {sys.executable} -m pytest -q -p no:cacheprovider {test}"
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"
    }  # no coverage of it
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
