from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.train.tasks.losses import heatmap_weighting_loss, joints_mse, masked_mse, tag_losses

Golden = dict[str, torch.Tensor]


def read(path: Path) -> Golden:
    with np.load(path) as file:
        return {k: torch.from_numpy(np.asarray(v)) for k, v in file.items()}


@pytest.fixture(scope="module")
def tags(shared: Path) -> Golden:
    return read(shared / "fixtures/targets_losses/efficienthrnet.npz")


@pytest.fixture(scope="module")
def crops(shared: Path) -> Golden:
    return read(shared / "fixtures/targets_losses/topdown.npz")


@pytest.mark.parametrize(("number", "maps"), [(0, "heatmaps_lo"), (1, "heatmaps_hi")])
def test_heatmaps_of_each_resolution_as_the_reference_counts_them(
    tags: Golden, number: int, maps: str
) -> None:
    mask = tags[f"mask{number}"][:, None]
    found = masked_mse(tags[f"pred{number}"][:, :17], tags[maps][None], mask)
    assert found.tolist() == pytest.approx(tags[f"heatmap_loss{number}"].tolist(), rel=1e-5)


def test_push_and_pull_as_the_reference_counts_them(tags: Golden) -> None:
    push, pull = tag_losses(tags["pred0"][:, 17:], tags["joints_batch"])
    assert push.tolist() == pytest.approx(tags["push_raw"].tolist(), rel=1e-5)
    assert pull.tolist() == pytest.approx(tags["pull_raw"].tolist(), rel=1e-5)


def test_nobody_and_one_person_push_nobody(tags: Golden) -> None:
    joints = tags["joints_batch"].clone()
    joints[0] = 0
    joints[1, 1:] = 0
    push, pull = tag_losses(tags["pred0"][:, 17:], joints)
    assert push.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert pull[0] == 0
    assert pull[1] > 0


def test_joints_as_the_reference_counts_them(crops: Golden) -> None:
    pred, target, weight = crops["pred"], crops["target"], crops["target_weight"][..., 0]
    every = torch.ones_like(weight)
    assert float(joints_mse(pred, target, weight)) == pytest.approx(float(crops["joints_mse"]), rel=1e-5)
    wanted = float(crops["joints_mse_unweighted"])
    assert float(joints_mse(pred, target, every)) == pytest.approx(wanted, rel=1e-5)


def test_heatmap_weighting_as_the_reference_counts_it(crops: Golden) -> None:
    pred, target, weight = crops["pred"], crops["target"], crops["target_weight"][..., 0]
    every = torch.ones_like(weight)
    assert float(heatmap_weighting_loss(pred, target, weight)) == pytest.approx(float(crops["hwl"]), rel=1e-5)
    wanted = float(crops["hwl_unweighted"])
    assert float(heatmap_weighting_loss(pred, target, every)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("function", "factor"), [("none", 1.0), ("x", 1.5), ("2x", 2.0), ("x^2", 1.25), ("e^x", 2.6487213)]
)
def test_every_weight_function(function: str, factor: float) -> None:
    target = torch.full((1, 1, 2, 2), 0.5)
    found = heatmap_weighting_loss(target + 2, target, torch.ones(1, 1), function)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(4 * factor, rel=1e-6)
