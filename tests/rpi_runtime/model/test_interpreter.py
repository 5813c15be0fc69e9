"""Loading toy models, and what is refused."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from dataclasses import replace

import numpy as np
import pytest

from rpi_runtime.errors import CardError, DependencyError, InputError, UsageError
from rpi_runtime.model import interpreter, xnnpack
from rpi_runtime.model.card import InputSpec, OutputSpec
from rpi_runtime.model.interpreter import Model
from tests.rpi_runtime.toys import CARD, toy_bytes, write_toy

EVERY_INTERPRETER = dict(interpreter.INTERPRETERS)


INSTALLED = [
    n
    for n in ("ai_edge_litert", "tflite_runtime")
    if importlib.util.find_spec(n) and not interpreter.unfit(n)
]


@pytest.fixture(autouse=True, params=INSTALLED or ["none"])
def backend(request, monkeypatch):
    """Every test of this file, with each interpreter that is installed."""
    if request.param == "none":
        pytest.skip("neither LiteRT nor a tflite-runtime that fits this NumPy is installed")
    monkeypatch.setattr(interpreter, "INTERPRETERS", {request.param: EVERY_INTERPRETER[request.param]})
    monkeypatch.setattr(xnnpack, "time_both", lambda own, forced: (0.002, 0.001))
    return request.param


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(-128, 128, (1, 24, 32, 3), np.int8)


def test_int8_and_float_toys_compute_the_same(tmp_path, picture):
    stored = Model(write_toy(tmp_path / "a.tflite", "int8"), threads=1)
    real = Model(write_toy(tmp_path / "b.tflite", "float32"), threads=2)
    stored.input[:] = picture
    real.input[:] = picture / np.float32(256)
    stored.invoke()
    real.invoke()
    assert stored.output("heatmaps").dtype == np.int8 and real.output("heatmaps").dtype == np.float32
    for role in ("heatmaps", "pafs"):
        step = stored.quantization(role).scale
        assert real.quantization(role).scale == 0
        assert np.abs(stored.real_output(role) - real.real_output(role)).max() < 6 * step


def test_says_what_runs_where(tmp_path, caplog, backend):
    with caplog.at_level(logging.WARNING):
        model = Model(write_toy(tmp_path / "toy.tflite"), threads=1)
    assert model.backend == backend
    assert (model.delegation().delegated, model.delegation().fell_back) == (5, ())
    package = backend.replace("_", "-")
    assert model.describe().startswith(f"toy.tflite: toy 32x24 int8, {package} ")
    reason = " (XNNPACK 1.0 ms, own kernels 2.0 ms)" if backend == "tflite_runtime" else ""
    assert model.describe().endswith(f", 1 thread{reason}, 5 of 5 operations in XNNPACK (1 partition)")
    assert not caplog.records


def test_warns_of_operations_that_fell_back(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        model = Model(write_toy(tmp_path / "toy.tflite", "fallback-int8"), threads=1)
    assert model.delegation().fell_back == ("HARD_SWISH",) * 3
    assert model.delegation().partitions == 4
    assert "5 of 8 operations in XNNPACK (4 partitions), not: 3 HARD_SWISH" in caplog.text


def test_threads_default_to_the_machine_s(tmp_path):
    assert 1 <= Model(write_toy(tmp_path / "toy.tflite")).threads <= 4


def test_no_threads_are_refused(tmp_path):
    with pytest.raises(UsageError, match="threads 0"):
        Model(write_toy(tmp_path / "toy.tflite"), threads=0)


HEATMAPS, PAFS = CARD.outputs
DIFFERENCES = {
    "input (1, 24, 40, 3), the tensor is (1, 24, 32, 3)": {"input": InputSpec(width=40, height=24)},
    "output 'maps', the file has heatmaps, pafs": {"outputs": (replace(HEATMAPS, name="maps"), PAFS)},
    "heatmaps is (1, 6, 8, 19), the tensor is (1, 3, 4, 19)": {
        "outputs": (replace(HEATMAPS, stride=4), PAFS)
    },
    "pafs is (1, 3, 4, 40), the tensor is (1, 3, 4, 38)": {"outputs": (HEATMAPS, replace(PAFS, channels=40))},
    "zero point 0: value - 128 is up to 1 steps off": {
        "input": InputSpec(width=32, height=24, mean=(127.0, 128.0, 128.0))
    },
    "calibrate with pictures that span 0..255": {
        "input": InputSpec(width=32, height=24, scale=(1 / 255, 1 / 255, 1 / 255), mean=(120.0,) * 3)
    },
}


@pytest.mark.parametrize("message", DIFFERENCES)
def test_a_card_that_does_not_fit_is_refused_with_the_difference(tmp_path, message):
    with pytest.raises(CardError) as caught:
        Model(write_toy(tmp_path / "toy.tflite", **DIFFERENCES[message]))
    assert message in str(caught.value)


def test_a_wrong_output_of_a_given_card_is_refused(tmp_path):
    path = write_toy(tmp_path / "toy.tflite", "float32")
    card = replace(CARD, outputs=(HEATMAPS, OutputSpec(name="heatmaps", role="pafs", channels=38, stride=8)))
    with pytest.raises(CardError, match="the card says heatmaps is"):
        Model(path, card=card)


def test_without_card_it_is_refused_unless_one_is_given(tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(toy_bytes("int8"))
    with pytest.raises(CardError, match="no model card inside"):
        Model(path)
    assert Model(path, card=CARD).card is CARD


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("something else altogether")
    with pytest.raises(InputError, match="not a TFLite file"):
        Model(path)
    with pytest.raises(InputError, match="its structure is damaged"):
        Model(path, card=CARD)
    with pytest.raises(InputError, match="cannot be read"):
        Model(tmp_path / "missing.tflite")


def test_no_interpreter_gives_the_reason_for_each(monkeypatch):
    def missing(name: str) -> None:
        if name.startswith("ai_edge"):
            raise ImportError("numpy.core.multiarray failed to import")
        raise ModuleNotFoundError(f"No module named {name.split('.')[0]!r}")

    monkeypatch.setattr(interpreter, "INTERPRETERS", EVERY_INTERPRETER)
    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(DependencyError) as caught:
        interpreter.find_module()
    message = str(caught.value)
    assert "ai-edge-litert: numpy.core.multiarray failed to import" in message
    assert "tflite-runtime: needs numpy < 2, found 2.1.0" in message
    assert "tensorflow: not installed" in message
    assert message.endswith("-m pip install ai-edge-litert")


@pytest.mark.parametrize("name", [b"12:30.tflite", b"caf\xe9.tflite", b"a\nb.tflite"])
def test_a_name_may_hold_any_bytes(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_toy(tmp_path / "toy.tflite").rename(path)
    model = Model(path, threads=1)
    model.invoke()
    assert model.output("heatmaps").shape[-1] == CARD.output("heatmaps").channels
