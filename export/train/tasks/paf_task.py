"""Training of bottom-up networks with heatmaps and PAFs, from labels and optionally from a teacher's maps."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from export.train.data.augment import (
    FILL,
    Affine,
    Augmentation,
    draw_light,
    move_people,
    random_affine,
    relight,
    warp,
)
from export.train.data.data import RenderedSamples, SampleSpec, as_input, known_mask
from export.train.data.examples import Example
from export.train.data.on_device import DevicePictures, light_numbers
from export.train.data.on_device import relight as relight_batch
from export.train.data.teacher import Teacher, complete
from export.train.family_recipes import PafDistillation, PafRecipe
from export.train.tasks.drawn import openpose_maps
from export.train.tasks.losses import openpose_loss
from export.train.tasks.point_targets import MOST_PEOPLE
from export.train.tasks.targets import TargetSpec, heatmaps, pafs, to_openpose
from export.train.tasks.task import Task
from export.weights.find import find_weights
from export.zoo.lw_openpose.balance import balance
from export.zoo.lw_openpose.entry import MEAN, SCALE
from export.zoo.lw_openpose.load import load_lw_openpose
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.prune import prune
from export.zoo.lw_openpose.sources import SOURCES
from export.zoo.lw_openpose.widths import HEATMAPS, WIDTHS, Widths
from quant.progress import reporter
from rpi_runtime.errors import UsageError

Stages = list[tuple[Tensor, Tensor]]
TEACHER = "lw-openpose"  # the network of a teacher whose source is "bundled"
LOOKED_AT = 128  # number of pictures from which the ranges of channels are measured


class PafSamples(RenderedSamples):
    """Input, maps (57, h, w) float16 (19 heatmaps, then 38 PAFs), mask (1, h, w) uint8.

    A `teacher`, a .tflite, completes the maps. If `larger` is above 0, the same crop follows, larger by this factor,
    in the picture's own light and without noise.
    """

    def __init__(
        self,
        examples: list[Example],
        spec: SampleSpec,
        length: int,
        targets: TargetSpec,
        *,
        augmentation: Augmentation,
        teacher: str = "",
        larger: float = 0.0,
    ) -> None:
        super().__init__(examples, spec, length)
        self.targets, self.augmentation, self.teacher, self.larger = targets, augmentation, teacher, larger
        # with its process, because processes cannot share an interpreter
        self._teacher: tuple[int, Teacher] | None = None

    def place(self, device: str) -> None:
        """Move the pictures to an accelerator, unless a .tflite teaches: it runs where samples are drawn."""
        if not self.teacher:
            super().place(device)

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a picture's sample."""
        example, targets = self.examples[which], self.targets
        affine, people, mask = self._placed(rng, which, network)
        picture = relight(rng, self.augmentation, warp(example.pyramid, affine, network))
        grid = self._grid(network)
        maps = np.concatenate((heatmaps(people, grid, targets), pafs(people, grid, targets)))
        if self.teacher:
            if self._teacher is None or self._teacher[0] != os.getpid():
                self._teacher = os.getpid(), Teacher(Path(self.teacher), network, grid)
            complete(maps, self._teacher[1](picture), HEATMAPS)
        sample = (as_input(picture), torch.from_numpy(maps.astype(np.float16)), torch.from_numpy(mask[None]))
        if not self.larger:
            return sample
        size, larger = self._enlarged(affine, network)
        return (*sample, as_input(warp(example.pyramid, larger, size)))

    def plan(
        self, rng: np.random.Generator, which: int, network: tuple[int, int], pictures: DevicePictures
    ) -> tuple[Tensor, ...]:
        """Draw a picture's origin, light, keypoints (30, 18, 3) and mask, then the origin of the `larger` crop."""
        affine, people, mask = self._placed(rng, which, network)
        light = light_numbers(draw_light(rng, self.augmentation))
        row, back = pictures.row(which, affine)
        several = np.zeros((MOST_PEOPLE, *people.shape[1:]), np.float32)
        several[: len(people)] = people[:MOST_PEOPLE]
        plan = [torch.tensor(row), torch.from_numpy(back), light, torch.from_numpy(several)]
        plan.append(torch.from_numpy(mask[None]))
        if self.larger:
            row, back = pictures.row(which, self._enlarged(affine, network)[1])
            plan += [torch.tensor(row), torch.from_numpy(back)]
        return tuple(plan)

    def rendered(
        self,
        plans: list[Tensor],
        network: tuple[int, int],
        pictures: DevicePictures,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the samples of a batch of plans, as `draw` does, with float32 maps."""
        rows, back, lights, people, mask, *larger = plans
        inputs = relight_batch(pictures.warp(rows, back, network, FILL[0]), lights, generator)
        samples = [inputs, openpose_maps(people, self._grid(network), self.targets), mask]
        if larger:
            seen = pictures.warp(larger[0], larger[1], self._larger(network), FILL[0])
            samples.append(seen.round_().to(torch.uint8))
        return samples

    def _grid(self, network: tuple[int, int]) -> tuple[int, int]:
        stride = self.targets.stride
        return -(-network[1] // stride), -(-network[0] // stride)

    def _placed(
        self, rng: np.random.Generator, which: int, network: tuple[int, int]
    ) -> tuple[Affine, NDArray[np.float64], NDArray[np.uint8]]:
        """Draw where a picture goes; return the map, the people (P, 18, 3) in the input, the mask."""
        example = self.examples[which]
        anchor = _anchor(rng, example.people)
        affine = random_affine(rng, self.augmentation, example.size, network, anchor)
        people = move_people(to_openpose(example.people), affine, network)
        return affine, people, known_mask(example.ignored, affine, network, self._grid(network))

    def _enlarged(self, affine: Affine, network: tuple[int, int]) -> tuple[tuple[int, int], Affine]:
        """Return width and height of the larger crop, and the map into it."""
        scale = self.larger
        larger = affine * scale
        larger[:, 2] += (scale - 1) / 2  # an index is that of a pixel's centre
        return self._larger(network), larger

    def _larger(self, network: tuple[int, int]) -> tuple[int, int]:
        return round(network[0] * self.larger), round(network[1] * self.larger)


def _anchor(rng: np.random.Generator, people: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if not len(people):
        return None
    person = people[rng.integers(len(people))]
    seen = person[person[:, 2] > 0, :2]
    return np.asarray((seen.min(axis=0) + seen.max(axis=0)) / 2) if len(seen) else None


class MapsTeacher:
    """A trained network with PAFs. It processes enlarged crops and returns maps of the student's size."""

    def __init__(self, spec: PafDistillation) -> None:
        weights = find_weights(spec.weights, SOURCES, TEACHER)
        net, self._scale, _ = load_lw_openpose(weights)
        self._net = net.eval().requires_grad_(False)

    def __call__(self, pictures: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map (N, 3, H, W) uint8 BGR to (N, 57, *grid). Each cell is the mean of the teacher's cells in it."""
        net = self._net.to(pictures.device)
        with torch.no_grad():
            maps = torch.cat(net((pictures.float() - MEAN) * self._scale), dim=1)
        return functional.interpolate(maps, size=grid, mode="area")


class PafTask(Task[PafRecipe, PafSamples, LwOpenPose]):
    """Lightweight OpenPose and its relatives."""

    def __init__(self, recipe: PafRecipe) -> None:
        super().__init__(recipe)
        self._teacher: MapsTeacher | None = None

    def build(self) -> LwOpenPose:
        """Return the network with random weights."""
        net = super().build()
        if not isinstance(net, LwOpenPose):
            raise TypeError(f"{self.recipe.network}: a {type(net).__name__}, expected a LwOpenPose")
        return net

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> PafSamples:
        """Return the samples of labelled pictures."""
        recipe, targets = self.recipe, self.recipe.targets
        drawn = TargetSpec(
            stride=self.description.outputs[0].stride, sigma=targets.sigma, limb_width=targets.limb_width
        )
        return PafSamples(
            examples,
            spec,
            length,
            drawn,
            augmentation=recipe.augmentation,
            teacher=recipe.teacher,
            larger=recipe.distillation.scale if recipe.distillation else 0.0,
        )

    def load_start(self, net: LwOpenPose, samples: PafSamples) -> None:
        """Load the weights of ``[start]`` into the network, or the part of them that pruning keeps."""
        start = self.recipe.start
        source = start.network if start.method == "prune" else self.recipe.network
        widths = _widths(source) if start.method == "prune" else net.widths
        published, scale, _ = load_lw_openpose(find_weights(start.weights, SOURCES, source), widths)
        if published.graph != net.graph or abs(scale - SCALE) > 1e-9:
            raise UsageError(f"start.weights {start.weights}: expected weights of the omz graph")
        if start.method == "load":
            net.load_state_dict(published.state_dict())
            return
        with reporter().stage("prune"):
            prune(published, net, self.inputs(_still_pictures(samples, start.pictures)))

    def trained(self, net: LwOpenPose) -> nn.Module:
        """Return the network with every stage's estimate, as its training needs them."""
        return _Staged(net)

    def loss(self, outputs: Stages, targets: list[Tensor]) -> Tensor:
        """Compare every stage with the labels' maps and with the teacher's maps, which cover the masked cells, too."""
        maps, mask, weighting = targets[0].float(), targets[1], self.recipe.targets.weighting
        loss = openpose_loss(outputs, maps, mask, weighting)
        spec = self.recipe.distillation
        if spec is None:
            return loss
        if self._teacher is None:
            self._teacher = MapsTeacher(spec)
        taught = self._teacher(targets[2], (maps.shape[2], maps.shape[3]))
        distilled = openpose_loss(outputs, taught, torch.ones_like(mask), weighting)
        return (1 - spec.share) * loss + spec.share * distilled

    def finish(self, net: LwOpenPose, samples: PafSamples) -> None:
        """Scale the channels of residual sums to one size."""
        pictures = _still_pictures(samples, min(LOOKED_AT, len(samples.examples)))
        changed = balance(net, self.inputs(pictures))
        reporter().say(f"  {changed} outlier channels of residual sums divided; the function is the same")

    def maps(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Return heatmaps and PAFs."""
        return outputs


def _widths(network: str) -> Widths:
    """Return the widths of a network; raises `UsageError` for a network of another family."""
    if network not in WIDTHS:
        raise UsageError(f"start.network {network!r}: expected one of {', '.join(WIDTHS)}")
    return WIDTHS[network]


def _still_pictures(samples: PafSamples, count: int) -> Tensor:
    """Return inputs of the first size, into which each picture is fitted without other changes."""
    still = Augmentation(
        scale=(1.0, 1.0), rotation=0.0, shift=0.0, flip=0.0, gain=0.0, offset=0.0, grey=0.0, noise=0.0
    )
    spec = replace(samples.spec, sizes=samples.spec.sizes[:1])
    fitted = PafSamples(samples.examples, spec, count, samples.targets, augmentation=still)
    return torch.stack([fitted[n][0] for n in range(count)])


class _Staged(nn.Module):
    def __init__(self, net: LwOpenPose) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Stages:
        return self.net.stages(images)
