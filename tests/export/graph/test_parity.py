"""Each step against the step before."""

from __future__ import annotations

import numpy as np
import pytest

from export.graph.parity import TOLERANCE, compare
from rpi_runtime.errors import ParityError

BEFORE = {"a": np.array([[1.0, -4.0]], np.float32), "b": np.zeros((2, 2), np.float32)}


def test_what_is_measured() -> None:
    after = {"a": BEFORE["a"] + np.float32(1e-4), "b": BEFORE["b"]}
    first, second = compare("x -> y", BEFORE, after)
    assert (first.step, first.output, first.tolerance) == ("x -> y", "a", TOLERANCE)
    assert first.max_error == pytest.approx(1e-4, rel=1e-2)
    assert first.relative_error == pytest.approx(1e-4 / 4, rel=1e-2)
    assert (second.max_error, second.relative_error) == (0, 0)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({"a": BEFORE["a"] * 1.001, "b": BEFORE["b"]}, "a differs by 0.004"),
        ({"a": BEFORE["a"] * np.nan, "b": BEFORE["b"]}, "a differs by nan"),
        ({"a": BEFORE["a"].T, "b": BEFORE["b"]}, r"a has shape \(2, 1\), expected \(1, 2\)"),
        ({"a": BEFORE["a"]}, r"outputs \['a'\], expected \['a', 'b'\]"),
        ({"a": BEFORE["a"], "b": BEFORE["b"] + 1e-3}, "b differs"),
    ],
)
def test_what_is_refused(after: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ParityError, match=message):
        compare("x -> y", BEFORE, after)


def test_a_network_whose_own_outputs_are_not_finite() -> None:
    broken = {"a": np.array([np.inf], np.float32)}
    with pytest.raises(ParityError, match="a is not finite before this step"):
        compare("x -> y", broken, broken)
