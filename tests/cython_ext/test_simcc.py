"""The SimCC kernel equals the oracle bit for bit, and the oracle what RTMPose publishes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from cython_ext import reference_simcc as reference
from cython_ext.rules import Quantized, SimccRules
from cython_ext.simcc import SimccFinder
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.openpose import quantize

EDGES = np.array([-1, 0, 0.3, 1, 5, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42], np.float32)
REALS = st.sampled_from(EDGES.tolist()) | st.floats(-8, 8, width=32)
INT8 = st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)


@st.composite
def bins(draw: st.DrawFn, stored: type) -> Quantized:
    """Distributions of three keypoints, contiguous or with axes exchanged."""
    count, first = draw(st.integers(1, 6)), draw(st.booleans())
    shape = (count, 3) if first else (3, count)
    values: Any = draw(arrays(stored, shape, elements=REALS if stored is np.float32 else INT8))
    values = values.T if first else values
    if stored is np.float32:
        return Quantized(values=values)
    scale = draw(st.sampled_from([1 / 256, 0.1, 1e-38, 1e36]))
    return Quantized(values=values, scale=scale, zero_point=draw(st.integers(-128, 127)))


@fuzz
@given(data=st.data(), stored=st.sampled_from([np.float32, np.int8]), softmax=st.booleans())
def test_any_distributions(
    kernels: SimpleNamespace, data: st.DataObject, stored: type, softmax: bool
) -> None:
    rules = SimccRules(keypoints=3, softmax=softmax)
    across, down = data.draw(bins(stored)), data.draw(bins(stored))
    expected = reference.find_simcc(across, down, rules)
    find = kernels.SimccFinder(rules)
    assert_array_equal(find(across, down), expected)
    assert_array_equal(find(across, down), expected)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("softmax", [False, True])
def test_as_published(kernels: SimpleNamespace, softmax: bool) -> None:
    """MMPose's get_simcc_maximum: where each is largest, and the smaller of both maxima."""
    rng = np.random.default_rng(0)
    across, down = rng.normal(size=(17, 384)) * 3, rng.normal(size=(17, 512)) * 3
    points = kernels.SimccFinder(SimccRules(keypoints=17, softmax=softmax))(
        *(Quantized(values=v.astype(np.float32)) for v in (across, down))
    )
    if softmax:
        across, down = (np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for v in (across, down))
    assert_array_equal(points[:, 0], across.argmax(axis=1))
    assert_array_equal(points[:, 1], down.argmax(axis=1))
    assert_allclose(points[:, 2], np.minimum(across.max(axis=1), down.max(axis=1)), rtol=3e-6)


def test_int8_finds_the_same_bins(kernels: SimpleNamespace) -> None:
    grid = np.arange(256)
    places = np.random.default_rng(1).integers(4, 250, (2, 17, 1))
    real = (8 * np.exp(-(((grid - places) / 6) ** 2) / 2)).astype(np.float32)
    find = kernels.SimccFinder(SimccRules(keypoints=17, softmax=True))
    scale, zero_point = 8 / 255, -128
    stored = [
        Quantized(values=quantize(v, scale, zero_point), scale=scale, zero_point=zero_point) for v in real
    ]
    exact = find(*(Quantized(values=v) for v in real)).copy()
    points = find(*stored)
    assert_array_equal(points[:, :2], exact[:, :2])
    assert_allclose(points[:, 2], exact[:, 2], rtol=0.05)


@pytest.mark.parametrize(
    ("across", "down", "message"),
    [
        (np.zeros((3, 4)), np.zeros((3, 4), np.float32), "along x of float64"),
        (np.zeros((3, 4), np.float32), np.zeros((2, 4), np.float32), "along y of shape"),
        (np.zeros((3, 4), np.float32), np.zeros((3, 4, 1), np.float32), "along y of shape"),
        (np.zeros((3, 4), np.int8), np.zeros((3, 4), np.int8), "along x: scale 0.0"),
    ],
)
def test_distributions_that_do_not_fit_are_refused(across: Any, down: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        SimccFinder(SimccRules(keypoints=3))(Quantized(values=across), Quantized(values=down))
