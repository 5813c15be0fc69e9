"""A network of the user's own, with a normalisation that int8 input cannot express, through the whole chain."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from export.describe import main as describe
from export.tflite import main
from export.zoo.inputs import is_plain
from export.zoo.own_network import layout_of, own_network, own_tflite
from quant.card import main as card_command
from quant.cards.attach import attach
from quant.cards.read import read_toml_card
from quant.cli import run_command
from quant.tflite.read import read_model
from quant.tflite.run import run_model
from quant.tflite.write import write_model
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import CardError, InputError
from rpi_runtime.model.card import InputSpec, read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.preprocess.letterbox import Preprocessor
from tests.export.toynet import CARD, HEIGHT, MEAN, STD, WIDTH, write_pictures

OUTPUTS = {"maps": "heatmaps", "fields": "pafs"}


def describe_in_quant(argv: Sequence[str] | None = None) -> int:
    """`python -m quant.card FILE --describe`."""
    return card_command([*(argv or ()), "--describe"])


def original_outputs(onnx_file: Path, picture: np.ndarray) -> dict[str, np.ndarray]:
    """The user's own way: RGB, (value - mean) / std per channel, their ONNX file by ONNX Runtime."""
    rgb = picture[..., ::-1].astype(np.float64)
    image = ((rgb - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    values = session.run(list(OUTPUTS), {"image": image})
    return {name: v[0].transpose(1, 2, 0) for name, v in zip(OUTPUTS, values, strict=True)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("own") / "pictures", 8, (HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def files(toy_network: tuple[Path, Path], pictures: Path) -> Path:
    onnx_file, card = toy_network
    out = pictures.parent / "out"
    argv = ["--onnx", str(onnx_file), "--card", str(card), "--output", str(out), "--json"]
    assert run_command(main, argv) == 0
    assert run_command(main, [*argv, "--float16"]) == 0
    assert run_command(main, [*argv, "--int8", "--calibration", str(pictures)]) == 0
    return out


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 1e-5), ("float16", 2e-2), ("int8", 8e-2)], ids=lambda v: str(v)
)
def test_outputs_are_those_of_the_onnx_file(
    toy_network: tuple[Path, Path], pictures: Path, files: Path, kind: str, tolerance: float
) -> None:
    model = Model(files / f"toy-64x48-{kind}.tflite", threads=1)
    assert model.input.dtype == (np.int8 if kind == "int8" else np.float32)
    prepare = Preprocessor(model.card.input)
    for path in sorted(pictures.iterdir()):
        picture = read_picture(path)
        prepare(picture, model.input)
        model.invoke()
        for name, expected in original_outputs(toy_network[0], picture).items():
            found = model.real_output(OUTPUTS[name])
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_the_card_tells_the_runtime_what_the_new_input_is(files: Path, kind: str) -> None:
    card = read_card(files / f"toy-64x48-{kind}.tflite")
    assert (card.input.channels, card.input.size) == ("rgb", "64x48")
    assert (card.input.mean, card.input.scale) == ((128.0,) * 3, (1 / 256,) * 3)
    assert [o.stride for o in card.outputs] == [4, 4]
    assert card.provenance.weights_source == "toy.onnx"


def test_a_repair_that_cannot_be_carried_out_leaves_the_files_of_the_others(
    toy_network: tuple[Path, Path], pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rounded = onnx.load(toy_network[0])  # its gradient is zero everywhere: no range follows from it
    last = rounded.graph.node[-1]
    rounded.graph.node.insert(
        len(rounded.graph.node) - 2, onnx.helper.make_node("Round", [last.input[0]], ["rounded"])
    )
    for head in rounded.graph.node[-2:]:
        head.input[0] = "rounded"
    onnx.save(rounded, tmp_path / "rounded.onnx")
    argv = ["--onnx", str(tmp_path / "rounded.onnx"), "--card", str(toy_network[1])]
    argv += ["--int8", "--calibration", str(pictures), "--output", str(tmp_path)]
    assert run_command(main, argv) == 7
    assert (tmp_path / "toy-64x48-int8.tflite.rejected").is_file()
    assert "w8c_a8_eq_out left out: ROUND" in capfd.readouterr().err
    assert run_command(main, [*argv, "--recipe", "w8c_a8_eq_out"]) == 3
    assert "take a recipe without _out and _fit" in capfd.readouterr().err


def test_a_network_that_rounding_moves_far_is_exported_in_float16_all_the_same(
    toy_network: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(toy_network[0])
    named = {t.name: t for t in model.graph.initializer}
    values = {
        n: onnx.numpy_helper.to_array(named[n]).copy()
        for n in ("unit.4.weight", "unit.4.bias", "maps.weight")
    }
    values["unit.4.weight"][1] = values["unit.4.weight"][0]  # two equal channels
    values["unit.4.bias"][1] = values["unit.4.bias"][0]
    values["maps.weight"][:, :2] = np.float32([1000.1, -1000.05])[
        None, :, None, None
    ]  # 1000 and -1000 as halves
    for name, value in values.items():
        named[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "far.onnx")
    argv = ["--onnx", str(tmp_path / "far.onnx"), "--card", str(toy_network[1]), "--float16"]
    assert run_command(main, [*argv, "--output", str(tmp_path)]) == 0
    said = capfd.readouterr().err
    assert "rounded -> float16 within 0.0e+00; the rounding moves outputs by up to " in said
    moved = float(said.partition("moves outputs by up to ")[2].split(";")[0])
    assert moved > 0.02


def test_the_onnx_file_is_not_changed(toy_network: tuple[Path, Path], files: Path) -> None:
    before = toy_network[0].read_bytes()
    network = own_network(*toy_network)
    network.build(network.card.input)
    assert files.is_dir()
    assert toy_network[0].read_bytes() == before


def test_normalisation_inside_the_network_is_exact_at_the_border_too(toy_network: tuple[Path, Path]) -> None:
    network = own_network(*toy_network)
    model = network.build(network.card.input).model
    pixels = np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3)).astype(np.float64)
    normalised = ((pixels - MEAN) / STD).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(toy_network[0].read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(list(OUTPUTS), {"image": normalised.astype(np.float32)})
    found = run_model(model, ((pixels - 128) / 256).astype(np.float32))
    for name, value in zip(OUTPUTS, expected, strict=True):
        want = value.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found[name], want, atol=5e-6 * np.abs(want).max())


@pytest.mark.parametrize(
    ("mean", "scale", "plain"),
    [
        ((128.0,) * 3, (1 / 256,) * 3, True),
        ((0.0,) * 3, (1 / 255,) * 3, True),
        ((127.5,) * 3, (1 / 127.5,) * 3, False),
        ((300.0,) * 3, (1.0,) * 3, False),
        (MEAN, (1 / 255,) * 3, False),
        ((0.0,) * 3, (1.0, 1.0, 2.0), False),
    ],
)
def test_which_normalisations_an_int8_input_can_be(
    mean: tuple[float, float, float], scale: tuple[float, float, float], plain: bool
) -> None:
    assert is_plain(InputSpec(width=8, height=8, mean=mean, scale=scale)) is plain


def test_a_plain_normalisation_stays_as_it_is(toy_network: tuple[Path, Path], tmp_path: Path) -> None:
    card = tmp_path / "plain.toml"
    text = CARD.replace(f"mean = {list(MEAN)}", "mean = [0.0, 0.0, 0.0]")
    card.write_text(text.replace(f"scale = {[1 / s for s in STD]}", "scale = [0.00392, 0.00392, 0.00392]"))
    network = own_network(toy_network[0], card)
    model = network.build(network.card.input).model
    assert network.card.input.mean == (0.0, 0.0, 0.0)
    assert model.operators[0].name != "DEPTHWISE_CONV_2D"


@pytest.mark.parametrize("stride", [2, 8])
def test_a_card_with_another_stride_is_refused(
    toy_network: tuple[Path, Path], tmp_path: Path, stride: int
) -> None:
    card = tmp_path / "other.toml"
    card.write_text(CARD.replace("stride = 4", f"stride = {stride}"))
    network = own_network(toy_network[0], card)
    with pytest.raises(CardError, match="the card says"):
        network.build(replace(network.card.input))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            f"mean = {list(MEAN)}",
            "mean = [inf, inf, inf]",
            "input.mean[0]: expected a finite number",
        ),
        ("[decoder]", '[decoder]\nkind = ["paf"]', "decoder.kind: got ['paf'], expected one of 'paf'"),
    ],
)
def test_a_card_with_values_of_another_kind_is_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    card = tmp_path / "wrong.toml"
    card.write_text(CARD.replace(before, after))
    with pytest.raises(CardError) as caught:
        read_toml_card(card)
    assert str(caught.value).startswith(f"{card}: {message}")


def test_an_onnx_file_that_may_not_be_read(
    toy_network: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    true: Any = Path.open

    def opened(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == toy_network[0]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return true(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(
        InputError, match=r"toy\.onnx: cannot be read \(Permission denied\); make it readable"
    ):
        own_network(*toy_network)


def test_the_card_in_the_documents_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "export/docs/networks-of-your-own.md").read_text()
    path = tmp_path / "card.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    card = read_toml_card(path)
    assert card.input.size == "256x192"
    assert not is_plain(card.input)
    assert len(card.decoder.limbs) == 2


def test_a_float_tflite_is_a_source_like_the_onnx_file(
    toy_network: tuple[Path, Path], tmp_path: Path
) -> None:
    network = own_network(*toy_network)
    made = network.build(network.card.input).model
    file, card = tmp_path / "theirs.tflite", tmp_path / "theirs.toml"
    file.write_bytes(write_model(made))
    text = CARD.replace(f"mean = {list(MEAN)}", "mean = [128.0, 128.0, 128.0]")
    card.write_text(text.replace(f"scale = {[1 / s for s in STD]}", f"scale = {[1 / 256] * 3}"))
    again = own_tflite(file, card)
    assert again.card.provenance.weights_graph == "tflite"
    image = np.random.default_rng(0).normal(size=(1, HEIGHT, WIDTH, 3)).astype(np.float32)
    found = run_model(again.build(again.card.input).model, image)
    for name, want in run_model(made, image).items():
        np.testing.assert_allclose(found[name], want, atol=1e-5 * np.abs(want).max())


def test_a_file_of_ours_is_a_source_by_the_card_inside_it(
    files: Path, pictures: Path, tmp_path: Path
) -> None:
    real = files / "toy-64x48-float32.tflite"
    argv = [
        "--tflite",
        str(real),
        "--int8",
        "--calibration",
        str(pictures),
        "--output",
        str(tmp_path),
        "--json",
    ]
    assert run_command(main, argv) == 0
    made, again = (read_card(folder / "toy-64x48-int8.tflite") for folder in (files, tmp_path))
    assert (again.input, again.outputs, again.decoder) == (made.input, made.outputs, made.decoder)
    assert again.provenance.weights_licence == made.provenance.weights_licence
    assert again.measured["heatmap_rmse"] == pytest.approx(made.measured["heatmap_rmse"], rel=0.2)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_a_file_of_ours_is_not_taken_by_a_card_that_feeds_it_otherwise(
    files: Path, toy_network: tuple[Path, Path], tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    real = files / f"toy-64x48-{kind}.tflite"  # its normalisation lies in the network, the card's does not
    argv = ["--tflite", str(real), "--card", str(toy_network[1]), "--output", str(tmp_path / "out")]
    assert run_command(main, argv) == 3
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert (
        f"{real}: the card inside it says mean 128, not (123.675, 116.28, 103.53); scale 0.00390625, not ("
        in line
    )
    assert line.endswith("leave --card out, to take the card inside")
    assert not (tmp_path / "out" / "toy-64x48-float32.tflite").exists()


def test_a_card_that_was_attached_may_be_replaced(
    files: Path, toy_network: tuple[Path, Path], tmp_path: Path
) -> None:
    theirs, card = tmp_path / "theirs.tflite", tmp_path / "bgr.toml"
    theirs.write_bytes(write_model(read_model((files / "toy-64x48-float32.tflite").read_bytes())))
    card.write_text(toy_network[1].read_text().replace('"rgb"', '"bgr"'))
    attach(theirs, read_toml_card(card), theirs)
    with pytest.raises(
        CardError, match=r"channels bgr, not rgb as .* replace it: \S+ -m quant\.card .* --attach "
    ):
        own_tflite(theirs, toy_network[1])
    attach(theirs, read_toml_card(toy_network[1]), theirs)
    assert own_tflite(theirs, toy_network[1]).card.outputs == own_tflite(theirs).card.outputs


def test_a_tflite_without_any_card_asks_for_one(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(write_model(read_model((files / "toy-64x48-float32.tflite").read_bytes())))
    assert run_command(main, ["--tflite", str(bare), "--output", str(tmp_path)]) == 3
    assert "no model card inside; give --card FILE.toml, or the name of a card" in capfd.readouterr().err


def test_a_description_tells_of_the_card_that_a_file_has_and_takes_onnx_as_well(
    files: Path, toy_network: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for command in (describe, describe_in_quant):
        assert run_command(command, [str(files / "toy-64x48-float32.tflite")]) == 0
        text = capfd.readouterr().out
        assert text.startswith("# It has a card inside, of toy, which python -m quant.card FILE prints")
        assert tomllib.loads(text)["input"]["width"] == 64
        assert run_command(command, [str(toy_network[0])]) == 0
        assert capfd.readouterr().out.startswith("# ONNX, opset ")


def test_a_file_of_the_other_kind_is_told_with_its_option(
    files: Path, toy_network: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx_file, card = map(str, toy_network)
    tflite = str(files / "toy-64x48-float32.tflite")
    for option, file, words in (
        ("--onnx", tflite, "a TFLite file, not ONNX; give it with --tflite"),
        ("--tflite", onnx_file, "not a TFLite file; give a .tflite, or an ONNX file with --onnx"),
    ):
        assert run_command(main, [option, file, "--card", card, "--output", str(tmp_path)]) == 3
        assert f"error: {file}: {words}" in capfd.readouterr().err


def test_outputs_may_lie_in_either_order_of_axes() -> None:
    assert layout_of("maps", (1, 5, 6, 8), (1, 6, 8, 5), Path("net.onnx")) == (0, 2, 3, 1)
    assert layout_of("maps", (1, 6, 8, 5), (1, 6, 8, 5), Path("net.onnx")) == (0, 1, 2, 3)
    assert layout_of("rows", (1, 56, 2100), (1, 2100, 56), Path("net.onnx")) == (0, 2, 1)
    with pytest.raises(CardError, match="the card says"):
        layout_of("maps", (1, 5, 6, 8), (1, 7, 8, 5), Path("net.onnx"))
