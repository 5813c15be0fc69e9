"""Errors carry what they say in fields, so that nothing takes a message apart again."""

from __future__ import annotations

import doctest
import pickle

import pytest

from rpi_runtime import errors, suggest
from rpi_runtime.errors import DependencyError, PiposeError, UsageError, first_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UsageError("wrong"), "wrong"),
        (UsageError("wrong", remedy="mend it"), "wrong; mend it"),
        (UsageError("wrong", remedy="mend it", key="a.b"), "a.b: wrong; mend it"),
        (UsageError("wrong", key="b").inside("a[1]"), "a[1].b: wrong"),
        (UsageError("wrong").inside("a"), "a: wrong"),
        (DependencyError("no cv2", remedy="pip install cv2"), "no cv2; run: pip install cv2"),
    ],
)
def test_the_message_is_made_of_the_fields(error: PiposeError, text: str) -> None:
    assert str(error) == text


def test_an_error_survives_the_way_between_processes() -> None:
    again = pickle.loads(pickle.dumps(UsageError("wrong", remedy="mend it", key="a")))
    assert (again.what, again.remedy, again.key) == ("wrong", "mend it", "a")


def test_an_error_inside_a_table_keeps_its_kind_and_exit_code() -> None:
    inner = UsageError("wrong", key="b").inside("a")
    assert type(inner) is UsageError and inner.exit_code == 2


def test_first_line_of_an_error_without_a_message_is_its_type() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"


@pytest.mark.parametrize("module", [errors, suggest])
def test_the_examples_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted and not result.failed
