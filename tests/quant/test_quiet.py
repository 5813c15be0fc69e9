"""What is printed below Python stays out of sight, unless something fails."""

from __future__ import annotations

import os
import sys
import warnings

import pytest

from quant.quiet import quiet, verbosity
from rpi_runtime.errors import InputError


def noise() -> None:
    os.write(1, b"from C++ on 1\n")
    os.write(2, b"from C++ on 2\n")
    warnings.warn("deprecated", DeprecationWarning, stacklevel=1)


def test_silent_when_all_goes_well(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        noise()
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_verbose_shows_everything(capfd: pytest.CaptureFixture[str]) -> None:
    with verbosity(True), quiet(), pytest.warns(DeprecationWarning):
        noise()
    out, err = capfd.readouterr()
    sys.stdout.flush()
    assert "from C++ on 1" in out
    assert "from C++ on 2" in err


def test_a_failure_shows_what_was_said_before_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), quiet():
        noise()
        raise ZeroDivisionError
    assert "from C++ on 2" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [InputError, KeyboardInterrupt])
def test_a_users_mistake_and_ctrl_c_show_nothing(
    capfd: pytest.CaptureFixture[str], kind: type[BaseException]
) -> None:
    with pytest.raises(kind), quiet():
        noise()
        raise kind
    assert capfd.readouterr() == ("", "")
