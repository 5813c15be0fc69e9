from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.scratch import scratch, scratch_root
from rpi_runtime.errors import OutputError

WORKER = """
import sys, time
from export.scratch import scratch
with scratch() as folder:
    (folder / "data").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def started() -> tuple[subprocess.Popen[str], Path]:
    child = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_nothing_stays_of_an_export_that_ended(temporary: Path) -> None:
    with scratch() as folder:
        assert folder.parent == scratch_root()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []
    with pytest.raises(ZeroDivisionError), scratch():
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def test_what_a_killed_export_left_goes_at_the_next_start() -> None:
    child, folder = started()
    with scratch():
        assert (folder / "data").exists(), "the other one is still at work"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (folder / "data").exists()
    with scratch():
        assert not folder.exists()


def test_a_folder_that_somebody_planted_is_refused(temporary: Path) -> None:
    (temporary / "elsewhere").mkdir()
    scratch_root().symlink_to(temporary / "elsewhere")
    with pytest.raises(OutputError, match="belongs to another user, or is a link"), scratch():
        pass


def test_sigterm_ends_a_command_with_its_folder_removed(temporary: Path) -> None:
    code = WORKER.replace(
        "import sys, time", "import sys, time\nfrom quant.cli import run_command\ndef main(_):"
    )
    lines = code.splitlines()
    start = lines.index("def main(_):") + 1
    body = ["    " + line for line in lines[start:]]
    program = "\n".join([*lines[:start], *body, "sys.exit(run_command(main))"])
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    assert folder.exists()
    child.terminate()
    child.communicate()
    assert child.returncode == 128 + signal.SIGTERM
    assert not folder.exists()
    assert list(temporary.iterdir()) == []
