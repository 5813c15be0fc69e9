"""Fixtures for the tests of the runtime."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Undo what a command does to the package's logger, so that the next test's caplog sees it."""
    logger = logging.getLogger("rpi_runtime")
    before = (logger.handlers[:], logger.propagate, logger.level)
    yield
    logger.handlers[:], logger.propagate, logger.level = before
