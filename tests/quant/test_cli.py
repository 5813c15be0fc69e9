"""From exceptions to exit codes, one line each."""

from __future__ import annotations

import errno

import pytest

from quant.cli import run_command
from rpi_runtime import errors

CODES = {
    errors.PiposeError: 1,
    errors.UsageError: 2,
    errors.InputError: 3,
    errors.CardError: 3,
    errors.WeightsError: 3,
    errors.DownloadError: 4,
    errors.OutputError: 5,
    errors.ParityError: 6,
    errors.GateError: 7,
    errors.DependencyError: 8,
}


def raising(err: BaseException) -> object:
    def main(argv: object) -> int:
        raise err

    return main


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_pipose_errors(capsys: pytest.CaptureFixture[str], kind: type[errors.PiposeError], code: int) -> None:
    assert run_command(raising(kind("what to do next"))) == code  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "error: what to do next\n")


def test_verbose_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(errors.InputError("x")), ["--verbose"]) == 3  # type: ignore[arg-type]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: x"


@pytest.mark.parametrize(
    ("err", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted; nothing was left half written\n"),
        (OSError(errno.ENOSPC, "No space", "/x"), 5, "error: /x: no space left on the device"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 5, "error: /x: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 5, "error: /x: Permission denied"),
        (MemoryError(), 1, "error: out of memory"),
        (ModuleNotFoundError("No module named 'rich'", name="rich"), 8, "error: this needs rich"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_other_ends(capsys: pytest.CaptureFixture[str], err: BaseException, code: int, text: str) -> None:
    assert run_command(raising(err)) == code  # type: ignore[arg-type]
    shown = capsys.readouterr().err
    assert shown.startswith(text)
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "err", [ZeroDivisionError(), ModuleNotFoundError("x", name="quant.gone"), OSError(errno.EIO, "I/O error")]
)
def test_faults_of_our_own_keep_their_traceback(err: Exception) -> None:
    with pytest.raises(type(err)):
        run_command(raising(err))  # type: ignore[arg-type]
