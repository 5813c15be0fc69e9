from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.train.tasks.point_targets import (
    MIRRORED,
    crop_heatmaps,
    exact_heatmaps,
    tag_heatmaps,
    tag_joints,
)


@pytest.fixture(scope="module")
def tags(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "fixtures/targets_losses/efficienthrnet.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("size", "factor", "name"), [(48, 1, "heatmaps_lo"), (96, 2, "heatmaps_hi")])
def test_heatmaps_with_tags_as_the_reference_draws_them(
    tags: dict[str, np.ndarray], size: int, factor: int, name: str
) -> None:
    people = tags["joints"] * [factor, factor, 1]
    assert np.allclose(tag_heatmaps(people, (size, size), 2.0), tags[name], atol=1e-6)


def test_tags_are_where_the_reference_has_them(tags: dict[str, np.ndarray]) -> None:
    found, wanted = tag_joints(tags["joints"], (48, 48)), tags["joint_index_visible"]
    assert found[..., 1].any(axis=1).sum() == len(tags["joints"])
    for ours, theirs in zip(found, wanted, strict=True):  # theirs are packed to the front
        assert ours[ours[:, 1] > 0].tolist() == theirs[theirs[:, 1] > 0].tolist()


def test_at_most_thirty_people_have_tags() -> None:
    people = np.ones((40, 17, 3))
    assert (tag_joints(people, (8, 8))[..., 1].sum(axis=1) == 17).all()


def test_crops_as_the_reference_draws_them(shared: Path) -> None:
    with np.load(shared / "fixtures/targets_losses/topdown.npz") as file:
        golden = dict(file)
    for person, target, weight in zip(
        golden["joints_input_xyv"], golden["target"], golden["target_weight"], strict=True
    ):
        maps, counts = crop_heatmaps(person, (64, 48), 4, 2.0)
        assert np.allclose(maps, target, atol=1e-6)
        assert np.array_equal(counts, weight[:, 0])


def test_a_keypoint_of_which_nothing_is_drawn_has_no_weight() -> None:
    person = np.array([[-27.0, 50, 2], [-40, 50, 2], [50, 280, 2], [50, 50, 0]])
    maps, weight = crop_heatmaps(person, (64, 48), 4, 2.0)
    assert weight.tolist() == [1, 0, 0, 0]
    assert not maps[1:].any()


def test_left_and_right_change_places() -> None:
    assert MIRRORED[:5] == (0, 2, 1, 4, 3)
    assert [MIRRORED[MIRRORED[i]] for i in range(17)] == list(range(17))


def test_exact_heatmaps_have_their_vertex_at_the_keypoint() -> None:
    person = np.zeros((17, 3))
    person[3] = (37.3, 50.6, 2)  # indices of pixels
    person[5] = (-20, 10, 2)  # outside
    maps, weight = exact_heatmaps(person, (32, 24), 4, 1.1, origin=0.16)
    assert np.flatnonzero(weight).tolist() == [3]
    assert not maps[[0, 5]].any()
    row, column = np.unravel_index(int(maps[3].argmax()), maps[3].shape)
    logs = np.log(np.maximum(maps[3].astype(np.float64), 1e-30))
    for axis, at in ((0, column), (1, row)):
        low, mid, high = (logs[(row, at + d) if axis == 0 else (at + d, column)] for d in (-1, 0, 1))
        vertex = at + (low - high) / (2 * (low - 2 * mid + high))
        # cell i stands for position 4 i + 0.16, and a pixel's position is its index and a half
        assert 4 * vertex + 0.16 == pytest.approx(person[3, axis] + 0.5, abs=1e-3)
