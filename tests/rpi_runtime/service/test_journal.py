"""Lines for the journal."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from rpi_runtime.service.journal import JournalFormatter, goes_to_journal, set_up_journal


@pytest.mark.parametrize(("level", "priority"), [("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7)])
def test_an_event_is_one_line_with_its_priority(level, priority):
    record = logging.LogRecord("x", getattr(logging, level), "f", 1, "%s\n\n  and %d more", ("one", 2), None)
    assert JournalFormatter("%(message)s").format(record) == f"<{priority}>one; and 2 more"


def test_the_prefix_is_only_for_the_journal(monkeypatch, tmp_path):
    logger = logging.Logger("rpi_runtime")
    logger.addHandler(logging.StreamHandler())
    with (tmp_path / "err").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
        assert not goes_to_journal(), "inherited, but redirected since"
        set_up_journal(logger)
        assert not isinstance(logger.handlers[0].formatter, JournalFormatter)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up_journal(logger)
        assert isinstance(logger.handlers[0].formatter, JournalFormatter)


def test_a_closed_standard_error_is_no_journal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", open(os.devnull))  # noqa: SIM115, PTH123
    sys.stderr.close()
    assert not goes_to_journal()
