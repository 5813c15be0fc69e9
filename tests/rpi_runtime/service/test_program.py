"""The command that a unit has to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rpi_runtime.service.program import this_program


def test_the_command_works_without_the_folder_and_the_variables_of_the_installer():
    program = this_program("--help")
    assert program.command[0] == sys.executable
    environment = {"PYTHONPATH": program.pythonpath} if program.pythonpath else {}
    done = subprocess.run(
        program.command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "service" in done.stdout
    assert Path(sys.prefix) in program.folders


def test_other_folders_of_the_variable_are_kept(monkeypatch, tmp_path):
    (tmp_path / "rpi_runtime").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("rpi_runtime.service.program._found_by_itself", lambda: None)
    package, given = this_program().pythonpath.split(":")
    assert Path(package, "rpi_runtime/service").is_dir()
    assert given == str(tmp_path)
