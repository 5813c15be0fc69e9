"""Log lines in the journal's format: one line per event, with its priority in front.

The prefix is that of sd-daemon(3), ``<3>`` for an error and so on; the journal strips it. Whether the standard
error is the journal is determined as in systemd.exec(5), ``$JOURNAL_STREAM``.
"""

from __future__ import annotations

import logging
import os
import sys

from rpi_runtime.masking import mask

_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class JournalFormatter(logging.Formatter):
    """Formats priority and message in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        lines = mask(super().format(record)).splitlines()
        text = "; ".join(line.strip() for line in lines if line.strip())
        return f"<{_PRIORITY.get(record.levelno, 6)}>{text}"


def goes_to_journal() -> bool:
    """Whether the standard error is connected to the journal."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def set_up_journal(logger: logging.Logger) -> None:
    """Use the journal's format for the handlers of `logger` if the standard error is the journal."""
    if goes_to_journal():
        for handler in logger.handlers:
            handler.setFormatter(JournalFormatter("%(message)s"))
