"""Weights of the package: made with a card and the same bytes each time, verified when they are read."""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from export.bundle import main, read_start, read_trained, refuse_untrained, to_half
from export.train.label import main as label
from export.weights import bundled as bundled_weights
from export.weights.bundled import find_bundled, is_bundled
from export.weights.find import find_weights, provenance
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.registry import MODELS, find_model
from quant.cli import run_command
from rpi_runtime.errors import WeightsError
from tests.export.irs import write_lw_openpose

PACKAGED = sorted(p.stem for p in bundled_weights.FOLDER.rglob("*.safetensors"))
FACTS = """\
licence = "Apache-2.0"
start = "random"
data = "nothing at all"
limits = "a test's \\"weights\\", §"
recipe = "none"
commit = "0123abc"
[[measured]]
size = "160x120"
float32 = 1.5
int8 = 1
[[candidates]]
network = "wide"
size = "64x48"
gmacs = 1.25
crops = 1600
ap = 2.5
[[candidates]]
network = "narrow"
size = "96x72"
gmacs = 1.25
crops = 1600
ap = 3.5
latency = 1.5
[[curve]]
crops = 800
minutes = 2.5
size = "64x48"
ap = 1.5
"""


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return LwOpenPose("omz").state_dict()


class Place:
    """A folder with trained weights and facts; `bundle` puts what it makes into ``package``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "package"
        self.weights, self.facts = folder / "weights.safetensors", folder / "facts.toml"

    def bundle(self, *more: str, weights: Path | None = None) -> int:
        argv = [str(weights or self.weights), "--model", "lw-openpose", "--facts", str(self.facts), *more]
        return run_command(main, [*argv, "--output", str(self.package)])


@pytest.fixture
def place(tmp_path: Path, trained: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Place:
    result = Place(tmp_path)
    save_file(trained, result.weights)
    result.facts.write_text(FACTS)
    monkeypatch.setattr(bundled_weights, "FOLDER", result.package)
    return result


def test_what_is_bundled_is_float16_and_read_back_with_its_card(
    place: Place, trained: dict[str, torch.Tensor]
) -> None:
    assert place.bundle() == 0
    path, card = find_bundled("lw-openpose")
    assert path.stat().st_size < 9_000_000
    stored = load_file(path)
    assert {k: v.dtype for k, v in stored.items()} == dict.fromkeys(trained, torch.float16)
    assert all(torch.equal(v.half(), stored[k]) for k, v in trained.items())
    with safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt", "network": "lw-openpose"}
    assert (card.network, card.start, card.limits) == ("lw-openpose", "random", 'a test\'s "weights", §')
    assert [(m.size, m.float32, m.int8, m.start) for m in card.measured] == [("160x120", 1.5, 1.0, -1.0)]
    assert [(c.network, c.ap, c.latency) for c in card.candidates] == [
        ("wide", 2.5, -1.0),
        ("narrow", 3.5, 1.5),
    ]
    assert [(c.crops, c.minutes, c.size, c.ap) for c in card.curve] == [(800, 2.5, "64x48", 1.5)]


def test_the_same_input_gives_the_same_bytes(place: Place, trained: dict[str, torch.Tensor]) -> None:
    assert place.bundle() == 0
    first = {p.name: p.read_bytes() for p in place.package.iterdir()}
    assert sorted(first) == ["lw-openpose.safetensors", "lw-openpose.toml"]
    save_file(dict(reversed(trained.items())), place.weights, metadata={"a": "1", "b": "2"})
    assert place.bundle() == 0
    assert {p.name: p.read_bytes() for p in place.package.iterdir()} == first


def test_of_a_checkpoint_the_average_is_taken(place: Place, trained: dict[str, torch.Tensor]) -> None:
    halves = {k: v / 2 for k, v in trained.items()}
    path = place.folder / "checkpoint.pt"
    torch.save({"format": 1, "net": trained, "average": halves, "step": 3}, path)
    assert place.bundle(weights=path) == 0
    stored = load_file(place.package / "lw-openpose.safetensors")
    assert all(torch.equal(v.half(), stored[k]) for k, v in halves.items())


def test_the_zoo_takes_them_by_default_where_there_are_some(place: Place) -> None:
    entry = find_model("lw-openpose")
    assert not is_bundled("lw-openpose")
    assert entry.default_source == "omz"
    assert place.bundle() == 0
    assert entry.default_source == "bundled"
    network = entry.load("bundled")
    origin = network.card.provenance
    assert origin.weights_source == "bundled: lw-openpose.safetensors"
    assert origin.weights_sha256 == find_bundled("lw-openpose")[1].sha256
    assert (origin.weights_licence, origin.weights_graph) == ("Apache-2.0", "omz")
    assert origin.weights_data == 'nothing at all; a test\'s "weights", §'
    assert network.card.input.scale[0] == 1 / 255


def test_a_package_without_them_says_so(place: Place) -> None:
    with pytest.raises(WeightsError, match="this package has none for lw-openpose \\(it has none at all\\)"):
        find_model("lw-openpose").load("bundled")
    with pytest.raises(WeightsError, match="no such file"):
        find_weights("bundled", {})  # of a network that never has any


def test_a_damaged_package_is_refused(place: Place) -> None:
    assert place.bundle() == 0
    path = place.package / "lw-openpose.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="its package is damaged"):
        find_bundled("lw-openpose")
    path.rename(path.with_stem("lw-openpose-pi"))
    card = path.with_suffix(".toml")
    card.rename(card.with_stem("lw-openpose-pi"))
    with pytest.raises(WeightsError, match="its card is that of lw-openpose;"):
        find_bundled("lw-openpose-pi")
    (place.package / "lw-openpose-pi.toml").unlink()
    with pytest.raises(WeightsError, match="card of bundled weights cannot be read"):
        find_bundled("lw-openpose-pi")


def test_a_tensor_that_training_left_is_refused(
    place: Place, trained: dict[str, torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    start = {k: v + 0.01 * torch.randn_like(v) for k, v in trained.items()}
    save_file(start, place.folder / "start.safetensors")
    assert place.bundle("--start", str(place.folder / "start.safetensors")) == 0
    key = "initial_stage.heatmaps.1.0.weight"
    start[key] = trained[key].half().float()  # another number, in float32 only
    save_file(start, place.folder / "start.safetensors")
    before = (place.package / "lw-openpose.safetensors").read_bytes()
    assert place.bundle("--start", str(place.folder / "start.safetensors")) == 3
    assert f"{key} is {key} of the weights that training started from" in capfd.readouterr().err
    assert (place.package / "lw-openpose.safetensors").read_bytes() == before


def test_a_tensor_of_the_start_is_found_under_any_name() -> None:
    value = np.linspace(0, 1, 8, dtype=np.float32)
    with pytest.raises(WeightsError, match="b is a of the weights"):
        refuse_untrained(to_half({"b": value}, "x"), {"a": value}, "x")
    refuse_untrained(to_half({"b": value}, "x"), {"a": value.reshape(2, 4)}, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, f: s.pop("model.0.0.weight"), "missing model.0.0.weight"),
        (lambda s, f: s["model.0.0.weight"].mul_(1e9), "not finite in float16"),
        (lambda s, f: f.write_text(FACTS.replace("commit =", "comit =")), "did you mean 'commit'?"),
        (lambda s, f: f.write_text(FACTS.replace('"random"', '""')), "start may not be empty"),
        (lambda s, f: f.write_text("x = "), "not valid TOML"),
        (lambda s, f: f.unlink(), "cannot be read"),
    ],
)
def test_what_cannot_ship_is_exit_code_3_and_writes_nothing(
    place: Place,
    trained: dict[str, torch.Tensor],
    capfd: pytest.CaptureFixture[str],
    change: object,
    message: str,
) -> None:
    state = {k: v.clone() for k, v in trained.items()}
    change(state, place.facts)  # type: ignore[operator]
    save_file(state, place.weights)
    assert place.bundle() == 3
    assert re.search(re.escape(message), capfd.readouterr().err)
    assert not place.package.exists()


def test_published_weights_cannot_be_bundled(place: Place) -> None:
    torch.manual_seed(0)
    weights = write_lw_openpose(LwOpenPose("omz"), place.folder)
    half = to_half(read_start(str(weights)), "published")
    with pytest.raises(WeightsError, match="and 113 more of the weights that training started from"):
        refuse_untrained(half, read_start(str(weights)), "published")
    with pytest.raises(WeightsError, match="an OpenVINO graph"):
        read_trained(weights)


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_differ_from_published_ones(
    name: str, shared: Path, weights: Path, tmp_path: Path
) -> None:
    """The pair's are compared with the networks that its own training started from."""
    starts = {
        "person-finder": "rtmdet-nano-person-320",
        "person-refiner": "pp-tinypose-128x96",
        "person-refiner-large": "pp-tinypose-256x192",
    }
    start = weights
    if name in starts:
        start = tmp_path / "start.onnx"
        packed = shared / "data/networks" / starts[name] / "model.onnx.xz"
        start.write_bytes(lzma.decompress(packed.read_bytes()))
    path, _ = find_bundled(name)
    refuse_untrained(to_half(read_trained(path), name), read_start(str(start), name), name)


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_whole(name: str) -> None:
    path, card = find_bundled(name)
    assert MODELS[name].bundled == name
    assert path.stat().st_size < 9_000_000
    assert card.measured
    assert provenance(find_weights("bundled", {}, name), "omz").weights_data


def test_a_blend_lies_between_start_and_trained(place: Place, trained: dict[str, torch.Tensor]) -> None:
    start = {k: torch.zeros_like(v) for k, v in trained.items()}
    save_file(start, place.folder / "start.safetensors")
    assert place.bundle("--start", str(place.folder / "start.safetensors"), "--blend", "0.25") == 0
    blended = load_file(place.package / "lw-openpose.safetensors")
    assert all(torch.allclose(blended[k].float(), 0.25 * v, atol=1e-4) for k, v in trained.items())


@pytest.mark.parametrize("there_before", [True, False])
def test_weights_are_not_replaced_without_their_card(
    place: Place,
    trained: dict[str, torch.Tensor],
    capfd: pytest.CaptureFixture[str],
    there_before: bool,
) -> None:
    assert place.bundle() == 0
    path = place.package / "lw-openpose.safetensors"
    before = path.read_bytes()
    if not there_before:
        path.unlink()
    path.with_suffix(".toml").unlink()
    path.with_suffix(".toml").mkdir()  # stands for whatever cannot be replaced
    save_file({k: v / 2 for k, v in trained.items()}, place.weights)
    assert place.bundle() == 5
    assert re.fullmatch(
        r"error: .*lw-openpose\.safetensors and its \.toml: cannot be written .*--output\n",
        capfd.readouterr().err,
    )
    assert (path.read_bytes() if path.exists() else None) == (before if there_before else None)
    assert {p.name for p in place.package.iterdir()} - {path.name} == {"lw-openpose.toml"}


def test_bundled_weights_can_be_the_start(
    place: Place, trained: dict[str, torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    assert place.bundle("--start", "bundled") == 3
    assert "this package has none for lw-openpose (it has none at all)" in capfd.readouterr().err
    assert place.bundle() == 0
    assert place.bundle("--start", "bundled") == 3
    assert "of the weights that training started from, unchanged" in capfd.readouterr().err
    save_file({k: v / 2 for k, v in trained.items()}, place.weights)
    assert place.bundle("--start", "bundled", "--blend", "0.5") == 0
    stored = load_file(place.package / "lw-openpose.safetensors")
    assert all(torch.allclose(stored[k].float(), 0.75 * v, atol=1e-3) for k, v in trained.items())


@pytest.mark.parametrize(
    ("command", "expected"), [(main, [0, 1, 2, 3, 4, 5, 8, 130]), (label, [0, 1, 2, 3, 5, 8, 130])]
)
def test_help_names_every_exit_code(
    command: Callable[[list[str]], int], expected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(["--help"])
    codes = re.findall(r"\b(\d+) [a-zA-Z]", re.split("(?i)exit codes:", capsys.readouterr().out)[1])
    assert [int(code) for code in codes] == expected


@pytest.mark.parametrize("more", [("--blend", "0.5"), ("--start", "START", "--blend", "1.5")])
def test_a_blend_needs_a_start_and_a_part(
    place: Place, trained: dict[str, torch.Tensor], more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(trained, place.folder / "start.safetensors")
    argv = [str(place.folder / "start.safetensors") if m == "START" else m for m in more]
    assert place.bundle(*argv) == 2
    assert "between 0 and 1" in capsys.readouterr().err


def test_first_weights_of_a_network_go_to_its_family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for family in ("lw", "lw_openpose", "hwl"):
        (tmp_path / family).mkdir()
    monkeypatch.setattr(bundled_weights, "FOLDER", tmp_path)
    assert bundled_weights.weights_path("lw-openpose-wide").parent.name == "lw_openpose"
    assert bundled_weights.weights_path("other").parent == tmp_path
