"""What a file holds, as the beginning of a card."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from quant.card import main
from quant.cli import run_command
from quant.describe import Head, Step, as_head, describe_tflite, find_heads, guess_roles
from quant.tflite.read import read_model
from tests.quant.test_attach import network


def maps(*pairs: tuple[int, int]) -> list[Head]:
    return [Head(name=f"m{i}", shape=(), channels=c, stride=s, axes="chw") for i, (c, s) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "roles"),
    [
        ([(17, 4)], ["heatmaps"]),
        ([(19, 8), (38, 8)], ["heatmaps", "pafs"]),
        ([(1, 4), (17, 4), (34, 4), (34, 4)], ["centre", "heatmaps", "regress", "offset"]),
        ([(1, 8), (4, 8), (51, 8), (1, 16), (4, 16), (51, 16)], ["scores", "boxes", "keypoints"] * 2),
        ([(1, 8), (64, 8), (51, 8), (1, 16), (64, 16), (51, 16)], ["scores", "boxes", "keypoints"] * 2),
        ([(1, 8), (4, 8), (1, 16), (4, 16)], ["scores", "boxes"] * 2),
    ],
)
def test_roles_are_guessed_from_channels(pairs: list[tuple[int, int]], roles: list[str]) -> None:
    heads = maps(*pairs)
    guesses = guess_roles(heads)
    assert [guesses[h.name] for h in heads] == roles


def test_a_decode_tail_is_cut_before() -> None:
    steps = [
        Step(kind="Conv", inputs=("image", "w0"), outputs=(("x", (1, 8, 32, 32)),)),
        Step(kind="Conv", inputs=("x", "w1"), outputs=(("box8", (1, 4, 8, 8)),)),
        Step(kind="Conv", inputs=("x", "w2"), outputs=(("score8", (1, 1, 8, 8)),)),
        Step(kind="Reshape", inputs=("box8", "s"), outputs=(("rows", (1, 4, 64)),)),
        Step(kind="Concat", inputs=("rows", "score8"), outputs=(("output0", (1, 5, 64)),)),
    ]
    heads = find_heads(steps, ["output0"], (64, 64))
    assert [(h.name, h.channels, h.stride) for h in heads] == [
        ("output0", 0, 0),
        ("box8", 4, 8),
        ("score8", 1, 8),
    ]


def test_outputs_that_are_maps_stand_for_the_convolutions_before_them() -> None:
    steps = [
        Step(kind="Conv", inputs=("image", "w"), outputs=(("raw", (1, 17, 16, 16)),)),
        Step(kind="Sigmoid", inputs=("raw",), outputs=(("heatmaps", (1, 17, 16, 16)),)),
    ]
    assert [h.name for h in find_heads(steps, ["heatmaps"], (64, 64))] == ["heatmaps"]


@pytest.mark.parametrize(
    ("shape", "axes", "stride"),
    [((1, 17, 12, 16), "chw", 4), ((1, 12, 16, 17), "hwc", 4), ((1, 17, 128), "", 0)],
)
def test_maps_are_known_by_their_shape(shape: tuple[int, ...], axes: str, stride: int) -> None:
    head = as_head("maps", shape, (64, 48))
    assert (head.axes, head.stride) == (axes, stride)


def test_a_tflite_is_described() -> None:
    found = describe_tflite(read_model(network()))
    assert found.size == (16, 8)
    assert [(h.name, h.channels, h.stride) for h in found.heads] == [("maps", 2, 4)]


def test_the_command_prints_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(network())
    assert run_command(main, [str(path), "--describe"]) == 0
    card = tomllib.loads(capsys.readouterr().out)
    assert card["outputs"] == [{"name": "maps", "role": "heatmaps", "channels": 2, "stride": 4}]
