"""Training of top-down networks, which see the crop of one person: LPN, HWL."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from export.train.data.augment import move_points, relight, warp
from export.train.data.crops import Box, Crops, random_crop
from export.train.data.data import Samples, SampleSpec, as_input
from export.train.data.examples import Example
from export.train.tasks.losses import heatmap_weighting_loss, joints_mse
from export.train.tasks.point_targets import MIRRORED, crop_heatmaps
from export.train.tasks.task import Task
from quant.boxes import clip
from rpi_runtime.errors import InputError

BLACK = (0, 0, 0)


class CropSamples(Samples):
    """Input, heatmaps (17, h, w) float16, weight (17,) float32; one a person."""

    def __init__(
        self,
        examples: list[Example],
        spec: SampleSpec,
        length: int,
        crops: Crops,
        *,
        stride: int,
        sigma: float,
    ) -> None:
        super().__init__(examples, spec, length)
        self.crops, self.stride, self.sigma = crops, stride, sigma
        self.people = [p for number, e in enumerate(examples) for p in _boxes(number, e)]
        if not self.people:
            raise InputError("the labels hold no person with a box inside its picture; a crop needs one")

    @property
    def each(self) -> int:
        """People."""
        return len(self.people)

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a person's sample."""
        number, row, box = self.people[which]
        example, light = self.examples[number], self.spec.augmentation
        affine = random_crop(rng, self.crops, box, example.people[row], network)
        # without the halved copies: the runtime cuts crops out of the picture itself too
        picture = relight(rng, light, warp(example.pyramid[:1], affine, network, BLACK))
        person = move_points(example.people[row : row + 1], affine, MIRRORED)[0]
        grid = (network[1] // self.stride, network[0] // self.stride)
        maps, weight = crop_heatmaps(person, grid, self.stride, self.sigma)
        return as_input(picture), torch.from_numpy(maps.astype(np.float16)), torch.from_numpy(weight)


def _boxes(number: int, example: Example) -> list[tuple[int, int, Box]]:
    """Number of the picture, row of the person, and the box as HRNet's code clips it to the picture."""
    size = example.size
    clipped = [(row, clip(box, size)) for row, box in enumerate(example.boxes)]
    return [(number, row, box) for row, box in clipped if box is not None]


class CropTask(Task):
    """Networks that give one map a keypoint of one person."""

    has_crops = True

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> CropSamples:
        """Return the samples of labelled people."""
        crops = self.recipe.crops or Crops()
        stride = self.description.outputs[0].stride
        return CropSamples(examples, spec, length, crops, stride=stride, sigma=self.recipe.targets.cell_sigma)

    def loss(self, outputs: Tensor, targets: list[Tensor]) -> Tensor:
        """Half the mean squared error of joints, or the heatmap-weighting loss where the recipe names a function."""
        maps, weight = targets[0].float(), targets[1]
        function = self.recipe.targets.function
        if function == "none":
            return joints_mse(outputs.float(), maps, weight)
        return heatmap_weighting_loss(outputs.float(), maps, weight, function)

    def maps(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Heatmaps."""
        return (outputs,)
