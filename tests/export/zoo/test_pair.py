"""The pair's networks compute what the networks compute that their training started from."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.zoo.pair import PAIRS
from export.zoo.registry import find_model
from rpi_runtime.errors import WeightsError
from rpi_runtime.settings.default_pair import FINDER, REFINERS

TOLERANCE = 1e-4  # of the largest value
NETWORKS = sorted({name for pair in PAIRS.values() for name in pair})


@pytest.fixture
def start(shared: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """A start's ONNX file, unpacked, and what is known of it."""
    folder = shared / "data/networks" / request.param
    file = tmp_path / f"{request.param}.onnx"
    file.write_bytes(lzma.decompress((folder / "model.onnx.xz").read_bytes()))
    return file, json.loads((folder / "facts.json").read_text())


def outputs_of(name: str, file: Path, facts: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """What a network's stored graph makes of the probe that the figures in `facts` are of, with a start's weights."""
    from export.graph.topology import Topology
    from export.weights.find import find_weights
    from export.zoo.drawn import DRAWN, path_of

    weights = find_weights(str(file), {})
    adopt = find_model(name).adopt
    assert adopt is not None
    graph = next(key for key in DRAWN if key.endswith(f"/{name}"))
    (shape,) = facts["model"]["inputs"].values()
    probe = np.random.RandomState(0).rand(*shape).astype(np.float32)
    return list(Topology(path_of(graph)).run(adopt(weights.state, weights.source), probe).values())


def compare(maps: np.ndarray[Any, Any], known: dict[str, Any]) -> None:
    """Compare a map with the figures of a probe's output."""
    room = TOLERANCE * known["absmax"]
    assert abs(np.abs(maps).max() - known["absmax"]) <= room
    assert abs(maps.mean() - known["mean"]) <= room
    assert np.abs(maps.reshape(-1)[: len(known["first"])] - known["first"]).max() <= room


@pytest.mark.parametrize("start", ["pp-tinypose-128x96", "pp-tinypose-256x192"], indirect=True)
def test_the_refiner_with_the_starts_weights_is_the_start(start: tuple[Path, dict[str, Any]]) -> None:
    file, facts = start
    (maps,) = outputs_of("person-refiner", file, facts)
    assert list(maps.shape) == facts["model"]["outputs"]["heatmaps"]
    compare(maps, facts["probe"]["outputs"]["heatmaps"])


@pytest.mark.parametrize("start", ["rtmdet-nano-person-320"], indirect=True)
def test_the_finder_with_the_starts_weights_is_the_start(start: tuple[Path, dict[str, Any]]) -> None:
    file, facts = start
    outputs = outputs_of("person-finder", file, facts)
    for level, stride in enumerate((8, 16, 32)):  # the start counts pixels where this one counts cells
        joined = np.concatenate((outputs[2 * level], outputs[2 * level + 1] * stride), axis=1)
        compare(joined.transpose(0, 2, 3, 1), facts["probe"]["outputs"][f"p{stride}"])


def test_weights_of_another_network_are_refused(toy_network: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match=r"\d+ convolutions, expected 269"):
        find_model("person-refiner").load(str(toy_network[0]))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_facts_are_those_of_the_module(name: str) -> None:
    entry = find_model(name)
    parameters = sum(p.numel() for p in entry.bare().parameters())
    assert parameters == entry.facts.parameters
    assert (entry.description.input.width, entry.description.input.height) == entry.facts.size


def test_a_run_looks_for_the_files_that_the_export_writes() -> None:
    for pair, refiner in zip(PAIRS.values(), REFINERS, strict=True):
        sizes = [find_model(name).facts.size for name in pair]
        names = [
            f"{name}-{width}x{height}-int8.tflite" for name, (width, height) in zip(pair, sizes, strict=True)
        ]
        assert names == [FINDER.name, refiner.name]
