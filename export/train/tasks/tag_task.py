"""Training of bottom-up networks with heatmaps at two resolutions and tags: EfficientHRNet.

Neff et al. 2020 (arXiv:2007.08090), which follows HigherHRNet (Cheng et al. 2020, arXiv:1908.10357).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.train.data.augment import Augmentation, move_points, relight, square_affine, warp
from export.train.data.data import Samples, SampleSpec, as_input, known_mask
from export.train.data.examples import Example
from export.train.family_recipes import TagRecipe
from export.train.tasks.losses import masked_mse, tag_losses
from export.train.tasks.point_targets import MIRRORED, tag_heatmaps, tag_joints
from export.train.tasks.task import Task
from export.zoo.efficienthrnet.scales import JOINTS, STRIDES

BLACK = (0, 0, 0)


class TagSamples(Samples):
    """Samples: input; for strides 4 and 2 heatmaps (17, h, w) float16 and mask (1, h, w) uint8; places of the tags."""

    def __init__(
        self,
        examples: list[Example],
        spec: SampleSpec,
        length: int,
        augmentation: Augmentation,
        sigma: float,
    ) -> None:
        super().__init__(examples, spec, length)
        self.augmentation, self.sigma = augmentation, sigma

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a picture's sample."""
        example = self.examples[which]
        affine = square_affine(rng, self.augmentation, example.size, network)
        picture = relight(rng, self.augmentation, warp(example.pyramid, affine, network, BLACK))
        people = move_points(example.people, affine, MIRRORED)
        targets = []
        for stride in STRIDES:
            grid = (network[1] // stride, network[0] // stride)
            maps = tag_heatmaps(_in_cells(people, stride), grid, self.sigma)
            mask = known_mask(example.ignored, affine, network, grid)
            targets += [torch.from_numpy(maps.astype(np.float16)), torch.from_numpy(mask[None])]
        grid = (network[1] // STRIDES[0], network[0] // STRIDES[0])
        # so that others are trained each time if there are too many
        joints = tag_joints(rng.permutation(_in_cells(people, STRIDES[0])), grid)
        return (as_input(picture), *targets, torch.from_numpy(joints))


def _in_cells(people: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    return np.asarray(people / np.array([stride, stride, 1.0]))


class TagTask(Task[TagRecipe, TagSamples, nn.Module]):
    """Networks whose tags are trained at the first resolution, like the published ones with 17 fine channels."""

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> TagSamples:
        """Return the samples of labelled pictures."""
        return TagSamples(examples, spec, length, self.recipe.augmentation, self.recipe.targets.cell_sigma)

    def loss(self, outputs: tuple[Tensor, Tensor], targets: list[Tensor]) -> Tensor:
        """Compare heatmaps of both resolutions; tags shall be alike in a person and differ between people."""
        coarse, fine = (o.float() for o in outputs)
        maps, mask, fine_maps, fine_mask, joints = targets
        heat = masked_mse(coarse[:, :JOINTS], maps.float(), mask) + masked_mse(
            fine[:, :JOINTS], fine_maps.float(), fine_mask
        )
        push, pull = tag_losses(coarse[:, JOINTS:], joints)
        return (heat + self.recipe.targets.tag_weight * (push + pull)).mean()

    def maps(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Return heatmaps and tags of stride 4, then heatmaps of stride 2."""
        coarse, fine = outputs
        return coarse[:, :JOINTS], coarse[:, JOINTS:], fine[:, :JOINTS]
