"""The zoo: what it says of its networks is counted, its entries load weights in every published form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.macs import count_macs, count_parameters
from export.tflite import main
from export.zoo import registry
from export.zoo.inputs import plain_input
from export.zoo.network import Network
from export.zoo.pair import PAIRS
from export.zoo.registry import MODELS, find_model, find_trainable
from quant.cli import run_command
from rpi_runtime.errors import UsageError, WeightsError
from tests.export.official import VARIANTS, seeded_state
from tests.export.zoo.golden.make import PATH

SMALL = {"lpn-50": (64, 96), "hwl": (64, 96), "hwl-hsigmoid-half": (64, 96), "efficienthrnet-h4": (96, 64)}


def load(name: str, path: Path) -> Network:
    return find_model(name).load(str(path))


def save(variant: str, path: Path) -> Path:
    torch.save(seeded_state(variant), path)
    return path


@pytest.mark.parametrize("name", [n for n in MODELS if n in VARIANTS])
def test_facts_are_those_of_the_official_code(name: str) -> None:
    # compared with it in test_networks.py
    facts, golden = (
        MODELS[name].facts,
        json.loads(PATH.read_text())[name],
    )
    width, height = facts.size
    assert (facts.parameters, facts.macs) == (golden["parameters"], golden["macs"][f"{height}x{width}"])


@pytest.mark.parametrize("name", ["lw-openpose", "efficienthrnet-h4", "lpn-101", "hwl-hsigmoid-half"])
def test_facts_are_what_is_counted(name: str) -> None:
    entry = MODELS[name]
    with torch.device("meta"):
        net = entry.bare()
    assert count_parameters(net) == entry.facts.parameters
    assert count_macs(net, *entry.facts.size) == entry.facts.macs


@pytest.mark.parametrize("name", ["efficienthrnet-h4", "lpn-101", "hwl"])
def test_networks_take_weights_with_the_official_keys(tmp_path: Path, name: str) -> None:
    network = load(name, save(name, tmp_path / "weights.pth"))
    assert network.card.name == name
    assert network.card.input.size == "{}x{}".format(*MODELS[name].facts.size)
    assert network.card.decoder.kind == MODELS[name].description.decoder.kind
    assert network.card.provenance.weights_sha256


def test_the_zoo_has_every_network_of_the_fixtures() -> None:
    families = {v.removesuffix("-ae2").removesuffix("-mpii") for v in VARIANTS}
    assert families == {n for n in MODELS if not n.startswith("lw-openpose")} - {
        name for pair in PAIRS.values() for name in pair
    }


@pytest.mark.parametrize(("name", "size"), SMALL.items())
def test_the_graph_is_the_network(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    network = load(name, save(name, tmp_path / "weights.pth"))
    card = network.card_at(*size)
    made = network.build(card.input)  # raises ParityError beyond its tolerance
    assert {p.output for p in made.parities} == {o.name for o in card.outputs}
    assert max(p.relative_error for p in made.parities) < 1e-4
    for output in card.outputs:
        shape = made.model.outputs[output.name].shape
        assert shape == (1, *(n // output.stride for n in size[::-1]), output.channels)


def test_efficienthrnet_has_an_output_per_quantity_and_stride(tmp_path: Path) -> None:
    for variant, names in (
        ("efficienthrnet-h4", ["heatmaps_4", "tags_4", "heatmaps_2"]),
        ("efficienthrnet-h4-ae2", ["heatmaps_4", "tags_4", "heatmaps_2", "tags_2"]),
    ):
        network = load("efficienthrnet-h4", save(variant, tmp_path / "weights.pth"))
        assert [o.name for o in network.card.outputs] == names
        assert all(o.name == f"{o.role}_{o.stride}" for o in network.card.outputs)
    assert network.notes == ("tags at both strides",)


def test_channel_order_and_decoding_are_those_of_the_published_test(tmp_path: Path) -> None:
    cards = {
        name: load(name, save(name, tmp_path / "weights.pth")).card
        for name in ("lpn-50", "hwl", "efficienthrnet-h4")
    }
    assert {n: c.input.channels for n, c in cards.items()} == {
        "lpn-50": "bgr", "hwl": "rgb", "efficienthrnet-h4": "rgb",
    }  # fmt: skip
    assert {c.input.pad_value for c in cards.values()} == {0}
    assert [cards[n].input.fit for n in cards] == ["crop", "crop", "letterbox"]
    assert [getattr(cards[n].decoder, "beta", "none") for n in cards] == [160.0, None, "none"]


@pytest.mark.parametrize("form", ["checkpoint", "safetensors"])
def test_weights_of_a_trainer_and_safetensors(tmp_path: Path, form: str) -> None:
    state = seeded_state("lpn-50")
    path = tmp_path / f"weights.{'pth.tar' if form == 'checkpoint' else 'safetensors'}"
    if form == "checkpoint":
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        save_file(state, path)
    assert load("lpn-50", path).card.provenance.weights_source == path.name


@pytest.mark.parametrize(
    ("variant", "name", "problem"),
    [
        ("lpn-101", "lpn-50", "unexpected layer3.10.att.channel_add_conv.0.bias"),
        ("lpn-50", "lpn-101", "missing layer3.10.att.channel_add_conv.0.bias"),
        ("efficienthrnet-h4", "hwl", "missing backbone.conv1.bn.bias"),
    ],
)
def test_weights_of_another_network_are_named_key_by_key(
    tmp_path: Path, variant: str, name: str, problem: str
) -> None:
    path = save(variant, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=problem):
        load(name, path)


def test_weights_for_another_skeleton_are_refused(tmp_path: Path) -> None:
    path = save("lpn-50-mpii", tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"final_layer.weight is \(16, 256, 1, 1\), expected \(17"):
        load("lpn-50", path)


@pytest.mark.parametrize("name", [n for n in MODELS if "github" in MODELS[n].elsewhere])
def test_without_weights_the_error_says_where_they_are(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(main, ["--model", name, "--output", str(tmp_path)]) == 3
    error = capsys.readouterr().err
    assert "https://github.com/" in error and "--weights FILE" in error


@pytest.mark.parametrize(
    ("name", "size", "step"),
    [("lpn-50", (192, 248), 16), ("hwl", (192, 240), 32), ("efficienthrnet-h4", (160, 120), 32)],
)
def test_sizes_that_do_not_suit_a_network(
    tmp_path: Path, name: str, size: tuple[int, int], step: int
) -> None:
    network = load(name, save(name, tmp_path / "weights.pth"))
    with pytest.raises(UsageError, match=f"multiples of {step}"):
        network.card_at(*size)


def test_the_list_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-models"]) == 0
    text = capsys.readouterr().out
    for name in MODELS:
        assert f"\n{name} " in f"\n{text}"
    assert "19.73 M parameters, 23.96 G multiply-adds at 512x512, decoder tags, published AP 64.8" in text
    assert "its 23.3 M count the backbone twice" in text


@pytest.mark.parametrize(
    ("wrong", "near"), [("efficienthrnet-h-1", "efficienthrnet-h1"), ("lpn50", "lpn-50")]
)
def test_a_name_that_is_nearly_right(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {near!r}?"):
        find_model(wrong)


@pytest.mark.parametrize(
    "name", ["lw-openpose", "lw-openpose-pi", "efficienthrnet-h4", "lpn-50", "hwl", "hwl-hsigmoid-half"]
)
def test_a_file_is_decoded_as_training_measured_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in MODELS[name].bare().state_dict().items()}, path)
    exported = load(name, path).card_at(192, 256 if name != "lw-openpose-pi" else 168)
    trained = find_trainable(name).description.trained_card(name, exported.input.width, exported.input.height)
    assert exported.decoder == trained.decoder
    assert exported.outputs == trained.outputs
    assert exported.skeleton == trained.skeleton
    assert exported.input == plain_input(trained.input)


def test_a_folder_may_not_take_another_ones_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from export.zoo.hwl import entry

    monkeypatch.setitem(entry.ENTRIES, "lpn-50", entry.ENTRIES["hwl"])
    with pytest.raises(ValueError, match=r"lpn: lpn-50 is another folder's name"):
        registry._read()
