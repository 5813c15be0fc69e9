"""What a family of networks brings to its training: samples, loss, and maps for its decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.train.data.data import Samples, SampleSpec
from export.train.data.examples import Example, read_source
from export.train.recipe import TrainRecipe
from export.train.start.initial import small_normal
from export.train.validate import held_out
from export.weights.find import find_weights
from export.weights.module import load_state
from export.zoo.registry import find_trainable
from quant.progress import Progress
from rpi_runtime.errors import InputError, UsageError


class Task:
    """One network's training by one recipe; the families differ in the methods that raise here.

    Attributes
    ----------
    recipe : TrainRecipe
    network : Trainable
    description : Description
        Of the network.
    cards : tuple of ModelCard
        Of each size.
    """

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe, self.network = recipe, find_trainable(recipe.network)
        self.description = self.network.description
        self.cards = tuple(
            self.description.trained_card(recipe.network, *size) for size in recipe.network_sizes
        )
        self._mean = torch.tensor(self.description.input.mean).reshape(3, 1, 1)
        self._scale = torch.tensor(self.description.input.scale).reshape(3, 1, 1)
        if recipe.teacher and not self.has_teacher:
            raise InputError(f"recipe: teacher is for networks with PAFs, not for {recipe.network}")
        if recipe.distillation is not None and not self.has_distillation:
            raise InputError(f"recipe: [distillation] is not for {recipe.network}")
        if recipe.crops is not None and not self.has_crops:
            raise InputError(f"recipe: [crops] are for top-down networks, not for {recipe.network}")

    has_teacher = False
    has_distillation = False
    has_crops = False

    def build(self) -> nn.Module:
        """Return the network with random weights."""
        net = self.network.bare()
        small = self.network.small_start
        return net if small is None else small_normal(net, small)

    def start(self, samples: Samples, progress: Progress) -> nn.Module:
        """Return the network as the recipe starts it."""
        torch.manual_seed(self.recipe.seed)
        net = self.build()
        if self.recipe.start.method != "scratch":
            self.load_start(net, samples, progress)
        return net

    def load_start(self, net: nn.Module, samples: Samples, progress: Progress) -> None:
        """Put the weights of ``[start]`` into the network."""
        start = self.recipe.start
        if start.method != "load":
            raise UsageError(f"start.method {start.method!r} is not for {self.recipe.network}; use load")
        self.load_weights(net, start.weights, progress)

    def load_weights(self, net: nn.Module, source: str, progress: Progress) -> None:
        """Put weights into a module of the network, from its own files or as they were published."""
        weights = find_weights(source, {}, progress, self.recipe.network)
        adopt = self.network.adopt
        state = adopt(weights.state, weights.source) if adopt else weights.state
        load_state(net, state, weights.source)

    def read_samples(self, progress: Progress) -> Samples:
        """Read every source, less what is held out."""
        recipe = self.recipe
        hidden = frozenset(held_out(recipe.holdout)[1] if recipe.holdout else ())
        examples = [e for s in recipe.data for e in read_source(s, hidden, progress)]
        people = sum(len(e.people) for e in examples)
        progress.say(f"  {len(examples)} pictures, {people} people")
        if not people:
            raise InputError(
                "the labels hold no person with keypoints in the pictures that are left to training"
            )
        spec = SampleSpec(
            sizes=recipe.network_sizes,
            batch=recipe.batch,
            augmentation=recipe.augmentation,
            seed=recipe.seed,
            reuse=recipe.reuse,
        )
        return self.samples(examples, spec, recipe.iterate.stages * recipe.steps * recipe.batch)

    def inputs(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) uint8 BGR to what the network takes."""
        ordered = pictures.flip(1) if self.description.input.channels == "rgb" else pictures
        mean, scale = (t.to(pictures.device) for t in (self._mean, self._scale))
        return (ordered.float() - mean) * scale

    def samples(self, examples: list[Example], spec: SampleSpec, length: int) -> Samples:
        """Return the samples of labelled pictures."""
        raise NotImplementedError

    def trained(self, net: nn.Module) -> nn.Module:
        """Return the network with a forward pass that gives what `loss` takes."""
        return net

    def loss(self, outputs: Any, targets: list[Tensor]) -> Tensor:
        """Compare a batch's outputs with what its samples hold beside the input."""
        raise NotImplementedError

    def finish(self, net: nn.Module, samples: Samples, progress: Progress) -> None:
        """Prepare the trained network for quantization, in place, without changing what it computes."""

    def maps(self, outputs: Any) -> tuple[Tensor, ...]:
        """What ``net(images)`` gave, in the order of the card's outputs."""
        raise NotImplementedError
