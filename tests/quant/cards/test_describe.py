"""What a file holds, as the beginning of a card."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from quant.card import main
from quant.cards.describe import (
    DescribedOperation,
    FileDescription,
    Head,
    as_head,
    describe_tflite,
    find_heads,
)
from quant.cards.draft import as_text, guess, guess_roles
from quant.cli import run_command
from quant.tflite.read import read_model
from rpi_runtime.model.card import ModelCard
from tests.quant.cards.test_attach import network


def maps(*pairs: tuple[int, int]) -> list[Head]:
    return [Head(name=f"m{i}", shape=(), channels=c, stride=s, axes="chw") for i, (c, s) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "roles"),
    [
        ([(17, 4)], ["heatmaps"]),
        ([(19, 8), (38, 8)], ["heatmaps", "pafs"]),
        ([(1, 4), (17, 4), (34, 4), (34, 4)], ["centre", "heatmaps", "regress", "offset"]),
        ([(1, 4), (2, 4), (2, 4), (34, 4)], [""] * 4),
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
        DescribedOperation(kind="Conv", inputs=("image", "w0"), outputs=(("x", (1, 8, 32, 32)),)),
        DescribedOperation(kind="Conv", inputs=("x", "w1"), outputs=(("box8", (1, 4, 8, 8)),)),
        DescribedOperation(kind="Conv", inputs=("x", "w2"), outputs=(("score8", (1, 1, 8, 8)),)),
        DescribedOperation(kind="Reshape", inputs=("box8", "s"), outputs=(("rows", (1, 4, 64)),)),
        DescribedOperation(kind="Concat", inputs=("rows", "score8"), outputs=(("output0", (1, 5, 64)),)),
    ]
    heads = find_heads(steps, ["output0"], (64, 64))
    assert [(h.name, h.channels, h.stride) for h in heads] == [
        ("output0", 0, 0),
        ("box8", 4, 8),
        ("score8", 1, 8),
    ]


def test_outputs_that_are_maps_stand_for_the_convolutions_before_them() -> None:
    steps = [
        DescribedOperation(kind="Conv", inputs=("image", "w"), outputs=(("raw", (1, 17, 16, 16)),)),
        DescribedOperation(kind="Sigmoid", inputs=("raw",), outputs=(("heatmaps", (1, 17, 16, 16)),)),
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
    assert (card["decoder"]["kind"], card["input"]["fit"]) == ("topdown", "crop")
    assert len(card["skeleton"]["keypoints"]) == 2


def described(*heads: Head, size: tuple[int, int] = (96, 128)) -> FileDescription:
    return FileDescription(kind="ONNX", inputs=(), outputs=(), size=size, heads=heads)


def head(
    name: str, shape: tuple[int, ...], *, inner: bool = False, size: tuple[int, int] = (96, 128)
) -> Head:
    return replace(as_head(name, shape, size), inner=inner)


def test_two_distributions_with_as_many_bins_a_pixel_are_simcc_whatever_map_lies_before_them() -> None:
    found = described(
        head("y", (1, 17, 256)), head("x", (1, 17, 192)), head("map", (1, 17, 4, 3), inner=True)
    )
    draft = guess(found)
    assert (draft.kind, draft.fit, draft.keypoints) == ("simcc", "crop", 17)
    assert draft.roles == {"x": "simcc_x", "y": "simcc_y"}
    card = tomllib.loads(as_text("net", found))
    assert [(o["role"], o["channels"], o["rows"]) for o in card["outputs"]] == [
        ("simcc_y", 256, 17),
        ("simcc_x", 192, 17),
    ]
    assert ModelCard.from_mapping(card).decoder.split == 2.0  # type: ignore[union-attr]


def test_the_last_of_several_stages_counts() -> None:
    stages = [head(name, (1, 16, 32, 24)) for name in ("first", "second", "third")]
    card = tomllib.loads(as_text("net", described(*stages)))
    assert [o["name"] for o in card["outputs"]] == ["third"]
    assert ModelCard.from_mapping(card).skeleton.keypoints[-1] == "keypoint15"


def test_a_map_inside_is_no_field_beside_the_map_that_comes_out() -> None:
    draft = guess(described(head("maps", (1, 17, 32, 24)), head("features", (1, 32, 32, 24), inner=True)))
    assert (draft.kind, dict(draft.roles)) == ("topdown", {"maps": "heatmaps"})


def test_a_detectors_card_can_be_read_as_it_is_printed() -> None:
    maps = [head(f"{n}{s}", (1, c, 128 // s, 96 // s), inner=True) for s in (8, 16, 32)
            for n, c in (("score", 1), ("box", 64), ("points", 51))]  # fmt: skip
    card = ModelCard.from_mapping(tomllib.loads(as_text("net", described(head("out", (1, 56, 252)), *maps))))
    assert (card.decoder.kind, len(card.outputs), card.input.fit) == ("boxes+keypoints", 9, "letterbox")
    assert card.skeleton.keypoints[0] == "nose"


def test_what_nothing_fits_is_asked_for() -> None:
    text = as_text("net", described(head("out", (1, 17, 2))))
    assert tomllib.loads(text)["outputs"] == [
        {"name": "out", "role": "?", "channels": 2, "stride": 1, "axes": "rows", "rows": 17}
    ]
    assert tomllib.loads(text)["decoder"] == {"kind": "?"}


def test_a_convolution_that_sums_up_bins_hides_no_head() -> None:
    steps = [
        DescribedOperation(kind="Conv", inputs=("image", "w0"), outputs=(("box8", (1, 64, 8, 8)),)),
        DescribedOperation(kind="Reshape", inputs=("box8", "s"), outputs=(("bins", (1, 16, 4, 64)),)),
        DescribedOperation(kind="Conv", inputs=("bins", "w1"), outputs=(("sums", (1, 1, 4, 64)),)),
        DescribedOperation(kind="Reshape", inputs=("sums", "t"), outputs=(("output0", (1, 4, 64)),)),
    ]
    assert [h.name for h in find_heads(steps, ["output0"], (64, 64))] == ["output0", "box8"]
