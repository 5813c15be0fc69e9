"""The main job with nothing but the package: no network, no data."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from export.bundle import encode, read_start, to_half, to_toml
from export.tflite import main
from export.weights import bundled as bundled_weights
from export.weights.bundled import BundledCard, is_bundled
from quant.calibration import Manifest
from rpi_runtime.model.card import read_card
from rpi_runtime.model.member import CALIBRATION_MEMBER, read_member


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Their sha256; where the package has none, published weights stand in, which is no way to ship any."""
    if is_bundled("lw-openpose"):
        return bundled_weights.find_bundled("lw-openpose")[1].sha256
    weights: Path = request.getfixturevalue("weights")
    data = encode(to_half(read_start(str(weights)), "stand-in"), {})
    digest = hashlib.sha256(data).hexdigest()
    facts = dict.fromkeys(("start", "data", "limits", "recipe", "commit"), "a stand-in")
    card = BundledCard(network="lw-openpose", sha256=digest, licence="Apache-2.0", **facts)
    (tmp_path / "lw-openpose.safetensors").write_bytes(data)
    (tmp_path / "lw-openpose.toml").write_text(to_toml(card))
    monkeypatch.setattr(bundled_weights, "FOLDER", tmp_path)
    return digest


def test_from_nothing_to_a_gated_int8_file_without_network(
    bundled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert origin.weights_sha256 == bundled
    assert origin.weights_data
    assert origin.calibration_images == 32
    assert Manifest.from_json(read_member(file, CALIBRATION_MEMBER)).source == "bundled"
    assert not (tmp_path / "cache").exists()
