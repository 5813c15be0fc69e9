"""The reporter of the context: who sees what, and bars inside bars."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from quant.progress import Progress, reporter, reporting


def on_terminal(text: io.StringIO) -> Progress:
    return Progress(console=Console(file=text, force_terminal=True, width=100))


def test_a_library_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    reporter().say("nothing")
    with reporter().stage("nothing"), reporter().items("nothing", 3) as step:
        step(1)
    assert capsys.readouterr() == ("", "")


def test_the_innermost_reporter_is_asked_and_the_outer_one_comes_back() -> None:
    outer, inner = Progress(quiet=True), Progress(quiet=True)
    with reporting(outer):
        with pytest.raises(ZeroDivisionError), reporting(inner):
            assert reporter() is inner
            raise ZeroDivisionError
        with reporter().stage("one"):
            pass
        assert reporter() is outer
    assert [stage.name for stage in outer.stages] == ["one"]
    assert reporter() is not outer


def test_a_thread_does_not_report_into_the_commands_bars() -> None:
    seen: list[Progress] = []
    mine = Progress(quiet=True)
    with reporting(mine):
        thread = threading.Thread(target=lambda: seen.append(reporter()))
        thread.start()
        thread.join()
    assert seen[0] is not mine and seen[0].quiet


def test_work_inside_work_with_a_bar_shows_none_of_its_own() -> None:
    text = io.StringIO()
    with reporting(on_terminal(text)):
        with reporter().items("outer", 2), reporter().bytes("inner", 2) as step:
            step(1)
        with reporter().items("later", 1):
            pass
    assert "outer" in text.getvalue() and "later" in text.getvalue()
    assert "inner" not in text.getvalue()
