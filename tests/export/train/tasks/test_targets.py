from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.train.tasks.losses import openpose_loss, stage_loss
from export.train.tasks.targets import MIRRORED, TargetSpec, heatmaps, pafs, to_openpose
from rpi_runtime.errors import InputError

SIZE = (46, 46)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "fixtures/targets_losses/lw_openpose.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def people(golden: dict[str, np.ndarray]) -> np.ndarray:
    """What the reference draws: its 18 keypoints, less those outside the picture (flag 2)."""
    internal = golden["internal_18"]
    return np.concatenate((internal[..., :2], (internal[..., 2:] != 2).astype(float)), axis=2)


def test_keypoints_as_the_reference_orders_them(golden: dict[str, np.ndarray]) -> None:
    found, wanted = to_openpose(golden["coco_keypoints"]), golden["internal_18"]
    labelled = wanted[..., 2] != 2
    assert np.array_equal(found[labelled][:, :2], wanted[labelled][:, :2])
    assert found[labelled][:, 2].min() > 0


def test_heatmaps_as_the_reference_draws_them(golden: dict[str, np.ndarray], people: np.ndarray) -> None:
    assert np.allclose(heatmaps(people, SIZE, TargetSpec()), golden["keypoint_maps"], atol=1e-6)


def test_pafs_as_the_reference_draws_them(golden: dict[str, np.ndarray], people: np.ndarray) -> None:
    assert np.allclose(pafs(people, SIZE, TargetSpec()), golden["paf_maps"], atol=1e-6)


def test_loss_as_the_reference_counts_it(golden: dict[str, np.ndarray]) -> None:
    pred, target, mask = (torch.from_numpy(golden[f"loss_{k}"]) for k in ("pred", "target", "mask"))
    assert float(stage_loss(pred, target, mask)) == pytest.approx(float(golden["loss_value"]), rel=1e-5)


def test_weighting_counts_full_cells_more() -> None:
    target = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    mask = torch.ones(1, 1, 1, 2)
    plain, weighted = (stage_loss(target + 1, target, mask, w) for w in (0.0, 1.0))
    assert (float(plain), float(weighted)) == (1.0, 1.5)


def test_every_stage_counts() -> None:
    maps, mask = torch.zeros(2, 57, 3, 4), torch.ones(2, 1, 3, 4)
    stage = (torch.ones(2, 19, 3, 4), torch.ones(2, 38, 3, 4))
    one, two = openpose_loss([stage], maps, mask), openpose_loss([stage, stage], maps, mask)
    assert float(one) == pytest.approx(57 * 12 / 2)
    assert float(two) == pytest.approx(2 * float(one))


def test_masked_cells_do_not_count() -> None:
    maps, mask = torch.zeros(1, 57, 3, 4), torch.zeros(1, 1, 3, 4)
    assert float(openpose_loss([(torch.ones(1, 19, 3, 4), torch.ones(1, 38, 3, 4))], maps, mask)) == 0


def test_mirroring_twice_is_nothing() -> None:
    assert [MIRRORED[MIRRORED[i]] for i in range(18)] == list(range(18))


def test_neck_needs_both_shoulders() -> None:
    coco = np.zeros((2, 17, 3))
    coco[:, 5] = (10, 20, 2)
    coco[1, 6] = (30, 40, 1)
    neck = to_openpose(coco)[:, 1]
    assert neck.tolist() == [[0, 0, 0], [20, 30, 1]]


def test_a_limb_without_length_is_not_drawn() -> None:
    person = np.zeros((1, 18, 3))
    person[0, [1, 2]] = (20, 20, 1)
    assert not pafs(person, SIZE, TargetSpec()).any()


def test_nothing_is_drawn_far_outside() -> None:
    person = np.full((1, 18, 3), 10_000.0)
    maps = heatmaps(person, SIZE, TargetSpec())
    assert not maps[:18].any()
    assert maps[18].min() == 1
    assert not pafs(person, SIZE, TargetSpec()).any()


def test_senseless_targets_are_refused() -> None:
    with pytest.raises(InputError, match="above 0"):
        TargetSpec(sigma=0)
