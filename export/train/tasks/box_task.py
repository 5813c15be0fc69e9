"""Training of detectors of people. A trained detector is the teacher; labels are not used."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from export.train.data.augment import Augmentation, draw_light, random_affine, relight, warp
from export.train.data.data import RenderedSamples, SampleSpec, as_input
from export.train.data.examples import Example
from export.train.data.on_device import DevicePictures, light_numbers
from export.train.data.on_device import relight as relight_batch
from export.train.family_recipes import BoxRecipe
from export.train.start.refit import record, refit
from export.train.tasks.task import Task
from export.train.tasks.taught import Taught
from export.weights.module import load_state
from export.zoo.person_finder.module import Finder
from quant.progress import reporter

FILL = (114, 114, 114)  # the border with which its start was trained
SHARPNESS = 2.0  # exponent of the focal weight of scores
FEATURES = 0.5  # weight of the features that the heads read, relative to 1 for their results
Pairs = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class BoxSamples(RenderedSamples):
    """Pictures as inputs of the network, without labels: the teacher processes the same input."""

    def __init__(
        self, examples: list[Example], spec: SampleSpec, length: int, augmentation: Augmentation
    ) -> None:
        super().__init__(examples, spec, length)
        self.augmentation = augmentation

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make a picture's sample."""
        example = self.examples[which]
        affine = random_affine(rng, self.augmentation, example.size, network, None)
        return (as_input(relight(rng, self.augmentation, warp(example.pyramid, affine, network, FILL))),)

    def plan(
        self, rng: np.random.Generator, which: int, network: tuple[int, int], pictures: DevicePictures
    ) -> tuple[Tensor, ...]:
        """Draw where a picture comes from, and its light."""
        affine = random_affine(rng, self.augmentation, self.examples[which].size, network, None)
        row, back = pictures.row(which, affine)
        return torch.tensor(row), torch.from_numpy(back), light_numbers(draw_light(rng, self.augmentation))

    def rendered(
        self,
        plans: list[Tensor],
        network: tuple[int, int],
        pictures: DevicePictures,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the samples of a batch of plans, as `draw` does."""
        rows, back, lights = plans
        return [relight_batch(pictures.warp(rows, back, network, FILL[0]), lights, generator)]


class BoxTask(Task[BoxRecipe, BoxSamples, nn.Module]):
    """Networks that give scores and distances at several strides."""

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> BoxSamples:
        """Return the samples of pictures."""
        return BoxSamples(examples, spec, length, self.recipe.augmentation)

    def load_start(self, net: nn.Module, samples: BoxSamples) -> None:
        """Load the weights of ``[start]`` into the network, or fit its layers to the results of the start's layers."""
        start = self.recipe.start
        published = self._trained(start.weights)
        load_state(net, {k: v.numpy() for k, v in published.state_dict().items()}, start.weights)
        if start.method == "refit":
            with reporter().stage("refit"):
                pictures = torch.stack([samples[n][0] for n in range(start.pictures)])
                images = self.inputs(pictures)
                refit(net, record(published, images), images, self.recipe.seed)

    def trained(self, net: nn.Module) -> nn.Module:
        """Return the network beside its teacher."""
        return Taught(net, self._trained(self.recipe.distillation.weights), "with_features")

    def _trained(self, source: str) -> Finder:
        """Return the start in its own form, with its own activations."""
        net = Finder()
        self.load_weights(net, source)
        return net

    def loss(self, outputs: Pairs, targets: list[Tensor]) -> Tensor:
        """Compare scores and sides of the boxes at every stride with the teacher's."""
        found, taught = outputs
        sure = [t.sigmoid() for t in taught[0::3]]
        people = torch.stack([s.sum() for s in sure]).sum().clamp_min(1.0)
        total = people.new_zeros(())
        for level, score in enumerate(sure):
            (logits, sides, features), (_, far, seen) = (
                o[3 * level : 3 * level + 3] for o in (found, taught)
            )
            total = total + focal(logits, score) / people
            total = total + (score * missed(sides, far)).sum() / people
            total = total + FEATURES * f.mse_loss(features, seen) / seen.square().mean().clamp_min(1e-6)
        return total

    def maps(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return scores and boxes of each stride."""
        return outputs


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the quality focal loss of soft labels, summed (Li et al. 2020, arXiv:2006.04388, equation 5)."""
    off = (logits.sigmoid() - wanted).abs() ** SHARPNESS
    return (off * f.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()


def missed(sides: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 minus the generalized overlap of boxes around one point (Rezatofighi et al. 2019, arXiv:1902.09630).

    Parameters
    ----------
    sides, wanted : Tensor, shape (N, 4, h, w)
        Distances to the left, top, right and bottom.

    Returns
    -------
    Tensor, shape (N, 1, h, w)
        From 0 to 2.
    """
    sides, wanted = sides.clamp_min(0), wanted.clamp_min(0)
    smaller, larger = torch.minimum(sides, wanted), torch.maximum(sides, wanted)
    inside, around = _area(smaller), _area(larger)
    either = _area(sides) + _area(wanted) - inside
    return 2 - inside / either.clamp_min(1e-6) - either / around.clamp_min(1e-6)


def _area(sides: Tensor) -> Tensor:
    left, top, right, bottom = sides.chunk(4, 1)
    return (left + right) * (top + bottom)
