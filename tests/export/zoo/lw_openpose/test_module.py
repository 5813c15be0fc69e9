"""Lightweight OpenPose against the fixtures of the official code."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.macs import count_macs, count_parameters
from export.weights.find import Weights
from export.zoo.lw_openpose.load import load_lw_openpose
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.widths import WIDTHS
from export.zoo.registry import find_model

STAGES = {"lw-openpose": 1, "lw-openpose-3refine": 3}  # refinement stages
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def fill(shared: Path) -> Any:
    """The fixtures' own rule for weights and inputs."""
    spec = importlib.util.spec_from_file_location("fixture_fill", shared / "fixtures" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(shared: Path, fill: Any, variant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = shared / "fixtures" / variant
    meta = json.loads((folder / "meta.json").read_text())
    shapes = json.loads((folder / "state_dict_keys.json").read_text())
    return fill.fill_arrays(shapes, meta["gain"], meta["transposed"]), meta


def test_omz_graph_has_its_published_size() -> None:
    assert sum(p.numel() for p in LwOpenPose("omz").parameters()) == 4_099_058


@pytest.mark.parametrize(("variant", "stages"), STAGES.items())
def test_every_stage_agrees_with_the_official_outputs(
    shared: Path, fill: Any, variant: str, stages: int
) -> None:
    arrays, _ = filled(shared, fill, variant)
    net = LwOpenPose("osokin", stages).eval()
    net.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in arrays.items()})
    expected = np.load(shared / "fixtures" / variant / "outputs_64x96.npz")
    with torch.inference_mode():
        estimates = net.stages(torch.from_numpy(fill.make_input(64, 96)))
    assert len(estimates) == stages + 1
    for index, maps in enumerate(estimates):
        for name, value in zip(("heatmaps", "pafs"), maps, strict=True):
            np.testing.assert_allclose(value.numpy(), expected[f"stage{index}_{name}"], atol=TOLERANCE)


def as_weights(arrays: dict[str, Any]) -> Weights:
    state = {k: np.asarray(v, np.float32) for k, v in arrays.items()}
    return Weights(state=state, ir=None, source="test", sha256="", licence="")


def test_three_refinement_stages_load_into_one_and_that_is_said() -> None:
    torch.manual_seed(0)
    source = LwOpenPose("osokin", 3).eval()
    state = {k: v.numpy() for k, v in source.state_dict().items()}
    net, scale, notes = load_lw_openpose(as_weights(state))
    assert (net.graph, scale, len(net.refinement_stages)) == ("osokin", 1 / 256, 1)
    dropped = [k for k in state if k.startswith(("refinement_stages.1.", "refinement_stages.2."))]
    assert f"refinement stages 2 and 3 dropped on purpose ({len(dropped)} keys)" in " ".join(notes)
    image = torch.rand(1, 3, 32, 48) - 0.5
    with torch.inference_mode():
        for ours, theirs in zip(net(image), source.stages(image)[1], strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=TOLERANCE)


def test_a_state_dict_of_the_omz_graph_is_known_by_its_keys() -> None:
    torch.manual_seed(0)
    source = LwOpenPose("omz").eval()
    net, scale, notes = load_lw_openpose(as_weights({k: v.numpy() for k, v in source.state_dict().items()}))
    image = torch.rand(1, 3, 32, 48) - 0.5
    with torch.inference_mode():
        for ours, theirs in zip(net(image), source(image), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert (scale, notes) == (1 / 255, ["graph omz"])


def test_the_narrow_relative_loads_and_says_its_size(tmp_path: Path) -> None:
    name = "lw-openpose-pi"
    torch.manual_seed(0)
    net = LwOpenPose("omz", widths=WIDTHS[name])
    save_file(net.state_dict(), tmp_path / "trained.safetensors")
    network = find_model(name).load(str(tmp_path / "trained.safetensors"))
    assert (network.card.input.width, network.card.input.height) == find_model(name).facts.size
    made = network.build(replace(network.card.input, width=64, height=48))
    assert list(made.model.outputs) == ["heatmaps", "pafs"]
    assert count_macs(net, *find_model(name).facts.size) == find_model(name).facts.macs
    assert count_parameters(net) == find_model(name).facts.parameters
