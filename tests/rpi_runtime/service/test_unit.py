"""The text of the unit, and the words in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rpi_runtime.service.unit import EX_CONFIG, Program, command_line, quote, quote_path, unit_text


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("/home/a b/bin/python", '"/home/a b/bin/python"'),
        ("100%", "100%%"),
        ('a "b" \\c', '"a \\"b\\" \\\\c"'),
        ("", '""'),
    ],
)
def test_words_are_quoted_as_systemd_wants_it(word, quoted):
    assert quote(word) == quoted


def test_dollars_are_doubled_in_arguments_only():
    assert command_line(["/a$b/python", "c$d"]) == "/a$b/python c$$d"


def test_colons_of_a_path_do_not_separate():
    assert quote_path(Path("/home/a:b")) == "/home/a\\:b"


def test_only_folders_in_homes_are_made_visible_and_none_twice():
    folders = ["/usr", "/home/pi/env", "/home/pi/env/lib/python3.13", "/root/py", "/homely"]
    program = Program(command=("python",), folders=tuple(map(Path, folders)))
    assert program.visible == (Path("/home/pi/env"), Path("/root/py"))


def settings(text):
    pairs = (
        tuple(line.split("=", 1)) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )
    return dict(pairs)


def test_the_unit_says_what_the_service_needs():
    program = Program(
        command=("/home/pi/my env/bin/python", "-m", "rpi_runtime"),
        pythonpath="/home/pi/my code",
        folders=(Path("/home/pi/my env"),),
    )
    found = settings(unit_text(program))
    assert found["ExecStart"] == '"/home/pi/my env/bin/python" -m rpi_runtime'
    assert found["Environment"] == '"PYTHONPATH=/home/pi/my code"'
    assert found["BindReadOnlyPaths"] == '"/home/pi/my env"'
    assert found["RestartPreventExitStatus"] == str(EX_CONFIG) == "78"
    assert (found["Type"], found["Restart"], found["User"]) == ("notify", "on-failure", "pipose")
    assert "ProcSubset" not in found, "XNNPACK is left out silently where /proc/cpuinfo cannot be read"
    assert "PrivateDevices" not in found and "PrivateUsers" not in found, "no camera could be opened"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_nothing_to_complain_about(tmp_path):
    program = Program(command=("/bin/true", "a b", "100%", "$HOME"), folders=(Path("/home/a: b"),))
    unit = tmp_path / "pipose.service"
    unit.write_text(unit_text(program))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
