"""The choice between tflite-runtime's kernels and XNNPACK; with the real package where it is installed."""

from __future__ import annotations

import ctypes.util
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rpi_runtime.model import xnnpack
from rpi_runtime.model.delegation import delegation_of
from rpi_runtime.model.interpreter import unfit
from tests.rpi_runtime.toys import GOLDEN


class FakeInterpreter:
    """Stands for both kinds: counts runs, optionally refuses delegates."""

    refuse = False

    def __init__(self, **options: object) -> None:
        self.forced = "experimental_delegates" in options
        self.runs = 0
        if self.forced and self.refuse:
            raise RuntimeError("Attempting to use a delegate that only supports static-sized tensors\nmore")

    def allocate_tensors(self) -> None:
        pass

    def invoke(self) -> None:
        self.runs += 1


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(xnnpack, "XnnpackDelegate", lambda library, threads: object())
    monkeypatch.setattr(FakeInterpreter, "refuse", False)
    return SimpleNamespace(
        Interpreter=FakeInterpreter,
        OpResolverType=SimpleNamespace(BUILTIN_WITHOUT_DEFAULT_DELEGATES=3),
        _interpreter_wrapper=SimpleNamespace(__file__="wrapper.so"),
    )


@pytest.mark.parametrize(("times", "forced"), [((2.0, 1.0), True), ((1.0, 2.0), False), ((1.0, 1.0), True)])
def test_the_faster_kernels_are_kept(module, monkeypatch, times, forced):
    monkeypatch.setattr(xnnpack, "time_both", lambda first, second: times)
    choice = xnnpack.open_fastest(module, Path("m.tflite"), 1)
    assert choice.interpreter.forced is forced
    assert choice.own_is_faster is not forced
    assert choice.reason == f"XNNPACK {times[1] * 1e3:.1f} ms, own kernels {times[0] * 1e3:.1f} ms"


def test_falls_back_where_the_delegate_cannot_be_applied(module, monkeypatch, caplog):
    monkeypatch.setattr(FakeInterpreter, "refuse", True)
    with caplog.at_level(logging.WARNING):
        choice = xnnpack.open_fastest(module, Path("m.tflite"), 1)
    assert choice.interpreter.forced is False
    assert choice.own_is_faster is False
    assert "m.tflite: XNNPACK cannot be applied (Attempting to use a delegate that only" in caplog.text
    assert "more" not in caplog.text


def test_both_run_as_often(module):
    first, second = FakeInterpreter(), FakeInterpreter()
    took = xnnpack.time_both(first, second)
    assert first.runs == second.runs == xnnpack.TIMED_RUNS + 1
    assert all(0 <= t < 1 for t in took)


def test_a_library_without_xnnpack_is_refused():
    library = ctypes.util.find_library("c")
    assert library
    with pytest.raises(xnnpack.XnnpackError, match="exports no XNNPACK delegate"):
        xnnpack.XnnpackDelegate(Path(library), 1)


def test_a_missing_library_is_refused(tmp_path):
    with pytest.raises(xnnpack.XnnpackError, match="exports no XNNPACK delegate"):
        xnnpack.XnnpackDelegate(tmp_path / "missing.so", 1)


@pytest.mark.parametrize("kind", ["int8", "fallback-int8"])
def test_forced_on_the_real_package(kind):
    module = pytest.importorskip("tflite_runtime.interpreter", reason="needs tflite-runtime (Python 3.11)")
    if reason := unfit("tflite_runtime"):
        pytest.skip(reason)
    path = GOLDEN / f"toy-{kind}.tflite"
    builtin = module.Interpreter(str(path))
    builtin.allocate_tensors()
    forced = xnnpack.open_forced(module, path, 2)
    picture = np.random.default_rng(0).integers(-128, 128, (1, 24, 32, 3), np.int8)
    outputs = []
    for interpreter in (builtin, forced):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
        interpreter.invoke()
        outputs.append([interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()])
    assert delegation_of(builtin._get_ops_details()).delegated == 0
    assert delegation_of(forced._get_ops_details()).delegated == 5
    for a, b in zip(*outputs, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
