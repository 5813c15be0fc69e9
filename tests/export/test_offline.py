"""The main job with nothing but the package: no network, no data."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import pytest

from export.tflite import main
from export.weights.bundled import find_bundled
from quant.calibration import Manifest
from rpi_runtime.model.card import read_card
from rpi_runtime.model.member import CALIBRATION_MEMBER, read_member


def test_from_nothing_to_a_gated_int8_file_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError(f"the network was asked for: {args}")

    monkeypatch.setenv("PIPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert main(["--model", "lw-openpose", "--int8", "--output", str(tmp_path / "out"), "--json"]) == 0
    file = tmp_path / "out" / "lw-openpose-160x120-int8.tflite"
    origin = read_card(file).provenance
    assert origin.weights_source == "bundled: lw-openpose.safetensors"
    assert origin.weights_sha256 == find_bundled("lw-openpose")[1].sha256
    assert origin.weights_data
    assert origin.calibration_images == 32
    assert Manifest.from_json(read_member(file, CALIBRATION_MEMBER)).source == "bundled"
    assert not (tmp_path / "cache").exists()
