"""Damage to a .tflite is found before an interpreter sees it."""

from __future__ import annotations

import numpy as np
import pytest

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.seal import check_seal
from tests.rpi_runtime.toys import toy_bytes, write_toy


def test_any_flipped_bit_of_the_flatbuffer_is_found(tmp_path):
    path = write_toy(tmp_path / "toy.tflite")
    check_seal(path)
    whole, size = path.read_bytes(), len(toy_bytes("int8"))
    generator = np.random.default_rng(0)
    for at in [0, size - 1, *generator.integers(0, size, 50).tolist()]:
        broken = bytearray(whole)
        broken[at] ^= 1 << int(generator.integers(8))
        path.write_bytes(broken)
        with pytest.raises(InputError, match="is damaged"):
            check_seal(path)


def test_a_damaged_model_is_refused_before_it_is_loaded(tmp_path):
    path = write_toy(tmp_path / "toy.tflite")
    whole = bytearray(path.read_bytes())
    whole[60] ^= 1
    path.write_bytes(whole)
    card = read_card(path)
    for given in (None, card):
        with pytest.raises(InputError, match="copy it again"):
            Model(path, card=given)


def test_a_file_without_seal_passes(tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(toy_bytes("int8"))
    check_seal(path)
    assert path.read_bytes() == toy_bytes("int8")
