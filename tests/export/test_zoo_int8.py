"""Every network of the zoo in INT8: one XNNPACK partition, nothing beside it, and a structure that the gate accepts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.integers import input_grid
from export.zoo.registry import find_model
from quant.judge.gate import check_floats, check_structure
from quant.quantize.quantizer import Quantizer
from quant.recipe import load_recipe
from tests.quant.toynetwork import delegation

torch = pytest.importorskip("torch", reason="weights of these networks are made by PyTorch")
from tests.export.official import seeded_state  # noqa: E402

SIZE = (96, 64)
SEEDED = {
    "lpn-50": "lpn-50",
    "hwl": "hwl",
    "hwl-hsigmoid-half": "hwl-hsigmoid-half",
    "efficienthrnet-h4": "efficienthrnet-h4",
}
BUNDLED = ("lw-openpose", "lw-openpose-pi", "person-finder", "person-refiner", "person-refiner-large")


@pytest.mark.parametrize("name", [*SEEDED, *BUNDLED])
def test_a_network_of_the_zoo_is_one_partition_in_int8(name: str, tmp_path: Path) -> None:
    entry = find_model(name)
    source = entry.default_source if name in BUNDLED else str(tmp_path / "weights.pth")
    if name in SEEDED:
        torch.save(seeded_state(SEEDED[name]), source)
    network = entry.load(source)
    card = network.card_at(*SIZE)
    draw = np.random.default_rng(4)
    pixels = draw.uniform(0, 255, (3, 1, SIZE[1], SIZE[0], 3))
    images = [((image - card.input.mean) * card.input.scale).astype(np.float32) for image in pixels]
    quantizer = Quantizer(network.build(card.input).model, images, input_grid(card.input))
    made = quantizer.quantize(load_recipe("w8c_a8_eq")).model
    found = delegation(made)
    assert (found.partitions, found.fell_back) == (1, ())
    assert [c for c in (*check_structure(made, card.input), *check_floats(made)) if not c.passed] == []
