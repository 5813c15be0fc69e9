"""Write ``targets.npz``: training targets and losses of seeded people, as our code draws and counts them.

``python -m tests.export.train.tasks.golden.make`` first compares our code with recorded results of the original
implementations, which are in ``../shared``, and writes nothing unless all agree. A clone without them still notices a
changed target or loss.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.train.tasks.losses import heatmap_weighting_loss, joints_mse, masked_mse, stage_loss, tag_losses
from export.train.tasks.point_targets import crop_heatmaps, tag_heatmaps, tag_joints
from export.train.tasks.targets import TargetSpec, heatmaps, pafs, to_openpose

PATH = Path(__file__).with_name("targets.npz")
WIDTH, HEIGHT = 128, 96
COMPARED = ("test_targets.py", "test_point_targets.py", "test_losses.py")


def seeded_people() -> NDArray[np.float64]:
    """Return three people, (3, 17, 3), some of whose keypoints are outside or not labelled."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-8, -8), (WIDTH + 8, HEIGHT + 8), (3, 17, 2))
    return np.concatenate((points, rng.integers(0, 3, (3, 17, 1))), axis=2)


def computed() -> dict[str, NDArray[np.generic]]:
    """Return every target and loss by name."""
    people = seeded_people()
    bodies, grid = to_openpose(people), (HEIGHT // 8, WIDTH // 8)
    cells, fine = people / (4, 4, 1), (HEIGHT // 4, WIDTH // 4)
    maps, weight = crop_heatmaps(people[0], fine, 4, 2.0)
    found: dict[str, NDArray[np.generic]] = {
        "to_openpose": bodies,
        "heatmaps": heatmaps(bodies, grid, TargetSpec()),
        "pafs": pafs(bodies, grid, TargetSpec()),
        "tag_heatmaps": tag_heatmaps(cells, fine, 2.0),
        "tag_joints": tag_joints(cells, fine),
        "crop_heatmaps": maps,
        "crop_weight": weight,
    }
    return found | {"losses": losses(found)}


def losses(targets: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    """Return the losses of seeded predictions, one number each."""
    generator = torch.Generator().manual_seed(0)
    wanted = {k: torch.from_numpy(np.asarray(v))[None] for k, v in targets.items()}

    def guess(name: str) -> torch.Tensor:
        return wanted[name] + 0.1 * torch.randn(wanted[name].shape, generator=generator)

    mask = torch.ones(1, 1, *wanted["tag_heatmaps"].shape[2:])
    mask[..., :3] = 0
    push, pull = tag_losses(guess("tag_heatmaps"), wanted["tag_joints"])
    crops, weight = wanted["crop_heatmaps"], wanted["crop_weight"]
    numbers = (
        stage_loss(guess("pafs"), wanted["pafs"], torch.ones(1, 1, 1, 1), 0.5),
        masked_mse(guess("tag_heatmaps"), wanted["tag_heatmaps"], mask),
        push,
        pull,
        joints_mse(guess("crop_heatmaps"), crops, weight),
        heatmap_weighting_loss(guess("crop_heatmaps"), crops, weight, "x"),
    )
    return np.array([float(n) for n in numbers])


def main() -> None:
    """Compare with the original implementations, then write."""
    folder = Path(__file__).resolve().parents[1]
    if not (Path(__file__).resolve().parents[6] / "shared").is_dir():
        sys.exit("no ../shared: the original implementations' results are needed to write a golden file")
    if pytest.main(["-q", "-k", "reference", *(str(folder / name) for name in COMPARED)]) != 0:
        sys.exit("not written: our code differs from the original implementations")
    found = computed()
    np.savez_compressed(PATH, **found)
    print(f"{PATH}: {len(found)} results, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
