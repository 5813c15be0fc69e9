from __future__ import annotations

import json
import os
import struct
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard, read_card
from rpi_runtime.model.member import CARD_MEMBER, read_member
from tests.rpi_runtime.toys import CARD, toy_bytes, write_toy


def with_member(path: Path, data: bytes) -> Path:
    path.write_bytes(toy_bytes("int8"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_MEMBER, data)
    return path


def test_a_card_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    """6.5 MB of archive became 4.3 GB of memory."""
    path = with_member(tmp_path / "m.tflite", b" " * (64 << 20))
    assert path.stat().st_size < 200_000
    with pytest.raises(CardError, match="more than 1048576 bytes"):
        read_card(path)


def test_an_archive_of_endless_entries_is_refused(tmp_path: Path) -> None:
    path = with_member(tmp_path / "m.tflite", b"{}")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\5\6") + 12, 1 << 30)
    path.write_bytes(data)
    with pytest.raises(CardError, match="no model card inside"):
        read_member(path, CARD_MEMBER)


def as_mapping() -> dict[str, Any]:
    mapping: dict[str, Any] = json.loads(json.dumps(asdict(CARD)))
    return mapping


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decoder.limbs", [{"a": 0, "b": 1, "paf_x": 0, "paf_y": 1}] * 200_000),
        ("decoder.min_score", float("nan")),
        ("decoder.peak_threshold", float("inf")),
        ("skeleton.edges", [[0, 1]] * 200_000),
        ("skeleton.keypoints", [f"k{i}" for i in range(100_000)]),
        ("skeleton.keypoints", [f"k{i}" for i in range(17)] + ["\x1b[31m"]),
        ("skeleton.sigmas", [0.0] * 18),
        ("skeleton.sigmas", [float("nan")] * 18),
        ("measured", {f"m{i}": 1.0 for i in range(1000)}),
        ("provenance.tools", {f"t{i}": "1" for i in range(1000)}),
        ("name", "a\nb"),
        ("name", ""),
        ("input.width", 10**4000),
        ("input.mean", [1e400, 0, 0]),
        ("outputs", as_mapping()["outputs"] * 100),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isprintable() else type(value).__name__,
)
def test_counts_names_and_numbers_of_a_card_are_bounded(key: str, value: object) -> None:
    data = as_mapping()
    *tables, last = key.split(".")
    table = data
    for name in tables:
        table = table[name]
    table[last] = value
    with pytest.raises(CardError) as caught:
        ModelCard.from_mapping(data)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"name": NaN}', b"\xff\xfe\xff", b"[]"])
def test_a_card_that_is_no_json_object_is_one_line(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(CardError, match="its model card"):
        read_card(with_member(tmp_path / "m.tflite", text))


def test_a_named_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.tflite")
    with pytest.raises(CardError, match="is a named pipe"):
        read_card(tmp_path / "m.tflite")


def test_the_card_of_a_sound_file_is_read(tmp_path: Path) -> None:
    assert read_card(write_toy(tmp_path / "m.tflite")) == CARD
