"""EfficientHRNet, LPN and HWL against the fixtures of the official code, and in every clone against golden values.

The golden values are written only after the networks agreed with the fixtures, see ``golden/make.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.macs import count_macs, count_parameters
from tests.export.official import VARIANTS, described, fill, filled_state, fixtures
from tests.export.zoo.golden.make import NETWORKS, PATH, keys_digest, on_meta
from tests.export.zoo.golden.make import described as measured

TOLERANCE = 1e-4
# Millions of parameters and multiply-adds at the nominal input of the table in the papers' terms.
TABLE = {
    "efficienthrnet-h0": (19_725_359, 23.96e9, 512, 512),
    "efficienthrnet-h1": (13_004_446, 13.13e9, 480, 480),
    "efficienthrnet-h2": (8_263_495, 7.03e9, 448, 448),
    "efficienthrnet-h3": (5_360_390, 3.76e9, 416, 416),
    "efficienthrnet-h4": (2_764_706, 1.81e9, 384, 384),
    "lpn-50": (2_911_153, 1.068e9, 192, 256),
    "lpn-101": (5_353_458, 1.505e9, 192, 256),
    "lpn-152": (7_377_459, 1.943e9, 192, 256),
    "hwl": (3_077_882, 0.559e9, 192, 256),
}


def compare_facts(shared: Path, name: str, found: dict[str, Any]) -> None:
    """Compare what is known of a network with what the official code has: keys, parameters, multiply-adds."""
    meta, keys = described(shared, name)
    assert found["keys"] == keys_digest(keys)
    assert (found["parameters"], found["children"]) == (meta["parameters"], meta["parameters_by_top_module"])
    assert {size: found["macs"][size] for size in meta["runs"]} == {
        k: r["macs"] for k, r in meta["runs"].items()
    }


def test_the_golden_facts_are_those_of_the_official_code(shared: Path) -> None:
    golden = json.loads(PATH.read_text())
    assert [*golden] == [*NETWORKS]
    for name in NETWORKS:
        compare_facts(shared, name, golden[name])


@pytest.mark.parametrize("variant", TABLE)
def test_the_published_table(variant: str) -> None:
    parameters, macs, width, height = TABLE[variant]
    net = on_meta(variant)
    assert count_parameters(net) == parameters
    assert count_macs(net, width, height) == pytest.approx(macs, rel=3e-3)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if not v.endswith("-mpii")])
def test_outputs_agree_with_the_official_ones(shared: Path, variant: str) -> None:
    net = VARIANTS[variant]().eval()
    net.load_state_dict(filled_state(shared, variant))
    paths = sorted(fixtures(shared, variant).glob("outputs_*.npz"))
    assert paths
    for path in paths:
        height, width = map(int, path.stem.removeprefix("outputs_").split("x"))
        with torch.inference_mode():
            outputs = net(torch.from_numpy(fill(shared).make_input(height, width)))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        names = ("heatmaps",) if len(outputs) == 1 else ("out0", "out1")
        expected = np.load(path)
        for name, value in zip(names, outputs, strict=True):
            np.testing.assert_allclose(value.numpy(), expected[name], atol=TOLERANCE, err_msg=path.stem)


@pytest.mark.parametrize("variant", NETWORKS)
def test_facts_and_outputs_are_the_golden_ones(variant: str) -> None:
    expected, found = json.loads(PATH.read_text())[variant], measured(variant)
    facts = ("keys", "parameters", "children", "macs")
    assert {fact: found[fact] for fact in facts} == {fact: expected[fact] for fact in facts}
    for one, other in zip(found["outputs"], expected["outputs"], strict=True):  # type: ignore[call-overload]
        assert one["shape"] == other["shape"]
        assert one["norm"] == pytest.approx(other["norm"], rel=TOLERANCE)
        np.testing.assert_allclose(one["samples"], other["samples"], rtol=1e-3, atol=TOLERANCE)


def test_a_convolution_and_a_transposed_one_are_counted_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=4))
    assert count_macs(net, 16, 8) == 3 * 8 * 9 * (8 * 4) + 8 * 1 * 16 * (8 * 4)
    assert not net[0].weight.is_meta
