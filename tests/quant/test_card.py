"""python -m quant.card: what is inside a .tflite, and what is wrong with it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.card import describe, main
from quant.cli import run_command
from quant.tflite.write import append_members
from rpi_runtime.errors import InputError, MissingMemberError
from rpi_runtime.model.card import ModelCard, Provenance, read_card
from rpi_runtime.model.member import CALIBRATION_MEMBER, CARD_MEMBER, read_member
from tests.rpi_runtime.toys import CARD, toy_bytes, write_toy

FULL = replace(
    CARD,
    recipe="w8c_a8_eq",
    measured={"ap": 31.5, "heatmap_rmse": 0.004},
    provenance=Provenance(
        weights_source="omz", weights_sha256="ab" * 32, calibration_images=32, tools={"torch": "2.13"}
    ),
)


def sealed(path: Path, card: str, **members: str) -> Path:
    path.write_bytes(append_members(toy_bytes("int8"), {CARD_MEMBER: card, **members}))
    return path


def card_data(**changes: Any) -> str:
    return json.dumps(json.loads(FULL.to_json()) | changes)


def test_text_says_what_matters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, [str(sealed(tmp_path / "m.tflite", FULL.to_json()))]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in (
        "toy, w8c_a8_eq",
        "32x24 BGR",
        "1/256",
        "18 keypoints",
        "17 limbs",
        "omz",
        "31.5",
        "torch 2.13",
    ):
        assert part in out
    assert out.startswith(describe(FULL))


def test_the_predicted_speed_stands_beside_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write_toy(tmp_path / "toy.tflite"))]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  speed ")]
    assert len(lines) == 2
    assert all("predicted, not measured" in line and "typical error" in line for line in lines)


def test_json_round_trips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sealed(tmp_path / "m.tflite", FULL.to_json())
    assert run_command(main, [str(path), "--json"]) == 0
    printed = ModelCard.from_mapping(json.loads(capsys.readouterr().out))
    assert printed == FULL == read_card(path)


def test_the_manifest_is_printed_as_it_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sealed(tmp_path / "m.tflite", FULL.to_json(), **{CALIBRATION_MEMBER: '{"format": 1}\n'})
    assert run_command(main, [str(path), "--manifest"]) == 0
    assert capsys.readouterr().out == '{"format": 1}\n'


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (card_data(format=3), "model card format 3: this pipose reads formats 1 to 2"),
        (card_data(recip="x"), "recip: unknown key; did you mean 'recipe'?"),
        (
            card_data(input={"width": 32, "heigth": 24}),
            "input.heigth: unknown key; did you mean 'height'?",
        ),
        (card_data(name=3), "name: expected str, got 3"),
        (card_data(outputs=[]), "expected one output with role 'heatmaps', got 0"),
        ("[]", "not a JSON object"),
        ("{", "not valid JSON"),
        ("{}", "name: missing key"),
    ],
)
def test_broken_cards(tmp_path: Path, capsys: pytest.CaptureFixture[str], card: str, message: str) -> None:
    assert run_command(main, [str(sealed(tmp_path / "m.tflite", card))]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert f"{tmp_path / 'm.tflite'}: " in err
    assert err.count("\n") == 1


def packed(path: Path, member: str, data: bytes, kind: int = zipfile.ZIP_STORED) -> Path:
    """A sealed file with one more member, compressed in this way."""
    path.write_bytes(append_members(toy_bytes("int8"), {}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, data, kind)
    return path


def test_a_float_file_has_a_card_and_no_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sealed(tmp_path / "m.tflite", FULL.to_json())
    assert run_command(main, [str(path), "--manifest"]) == 3
    expected = f"error: {path}: holds no calibration manifest; only INT8 files have one\n"
    assert capsys.readouterr() == ("", expected)
    with pytest.raises(MissingMemberError):
        read_member(path, CALIBRATION_MEMBER)


def test_a_manifest_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packed(tmp_path / "m.tflite", CALIBRATION_MEMBER, b'{"format": \xff}')
    assert run_command(main, [str(path), "--manifest"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "its calibration manifest is not UTF-8 text" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_card_is_not_taken_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: int
) -> None:
    path = packed(tmp_path / "m.tflite", CARD_MEMBER, FULL.to_json().encode(), kind)
    data = bytearray(path.read_bytes())
    start = data.index(CARD_MEMBER.encode()) + len(CARD_MEMBER)
    data[start + 12 : start + 60] = bytes(48)
    path.write_bytes(data)
    assert run_command(main, [str(path)]) == 3
    err = capsys.readouterr().err
    assert "pipose/card.json is damaged (" in err
    assert "None" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a TFLite file"),
        (b"hello, world", "not a TFLite file"),
        (toy_bytes("int8"), "no model card inside"),
        (append_members(toy_bytes("int8"), {"other.txt": "x"}), "no model card inside"),
    ],
    ids=["empty", "text", "bare", "another archive"],
)
def test_files_without_a_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, message: str
) -> None:
    (tmp_path / "m.tflite").write_bytes(data)
    assert run_command(main, [str(tmp_path / "m.tflite")]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_missing_files_folders_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, [str(tmp_path / "missing.tflite")]) == 3
    assert run_command(main, [str(tmp_path)]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, True]
    with pytest.raises(SystemExit) as caught:
        run_command(main, [])
    assert caught.value.code == 2


def test_truncated_and_damaged_files_never_crash(tmp_path: Path) -> None:
    path = sealed(tmp_path / "m.tflite", FULL.to_json())
    data = path.read_bytes()
    start = data.rindex(b"PK\x03\x04")
    rng = np.random.default_rng(1)
    refused = 0
    for cut in [*range(start, len(data) - 60, 41), *rng.integers(0, start, 20)]:
        path.write_bytes(data[: int(cut)])
        with pytest.raises(InputError):
            read_card(path)
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(start, len(data), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_card(path)
        except InputError:
            refused += 1
    assert refused > 200


def test_the_runtimes_toys_are_readable_too(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.tflite")
    assert zipfile.is_zipfile(path)
    assert read_card(path) == CARD
