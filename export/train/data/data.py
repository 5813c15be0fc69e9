"""Training samples of labelled pictures: the same for the same sample number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from export.train.data.augment import Augmentation, Picture
from export.train.data.examples import Example
from export.train.data.kept import KeptSamples
from export.train.data.on_device import DevicePictures

SEEDS = 1_000_003  # steps of a run have other noise than those of the next seed


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """What a sample looks like, whatever the network.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Width and height of the network's input; one batch after the other takes the next.
    batch : int
    augmentation : Augmentation
    seed : int
    reuse : int
        After so many epochs the samples of the first one come again, in another order; 0 for always new ones.
    """

    sizes: tuple[tuple[int, int], ...]
    batch: int
    augmentation: Augmentation
    seed: int = 0
    reuse: int = 0


class Samples(Dataset[tuple[Tensor, ...]]):
    """Endless samples by number; number n is the same in every run, whatever came before.

    An item is the input (3, H, W) uint8 BGR, then what the family's loss takes.

    Attributes
    ----------
    kept : KeptSamples or None
        Where they are kept, to be read instead of made.
    pictures : DevicePictures or None
        On an accelerator: an item is then a `plan`, and `render` makes samples of a batch of them there.
    """

    def __init__(self, examples: list[Example], spec: SampleSpec, length: int) -> None:
        self.examples, self.spec, self.length = examples, spec, length
        self.kept: KeptSamples | None = None
        self.pictures: DevicePictures | None = None
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.length

    @property
    def each(self) -> int:
        """How many there are in an epoch."""
        return len(self.examples)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        spec = self.spec
        epoch, index = divmod(number, self.each)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((spec.seed, epoch)).permutation(self.each)
        which = int(self._order[index])
        size = self.size_of(number // spec.batch)
        drawn = epoch % spec.reuse if spec.reuse else epoch

        def make() -> tuple[Tensor, ...]:
            draw = self.plan if self.pictures else self.draw
            return draw(np.random.default_rng((spec.seed, drawn, which)), which, size)

        return self.kept.get(drawn * self.each + which, make) if self.kept else make()

    @property
    def can_render(self) -> bool:
        """Whether there is `plan` and `rendered`."""
        return False

    def size_of(self, step: int) -> tuple[int, int]:
        """Width and height of a batch's inputs."""
        return self.spec.sizes[step % len(self.spec.sizes)]

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make the sample of one of `each` things for an input size."""
        raise NotImplementedError

    def plan(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Draw everything about a sample but its pixels and maps; with `pictures` only."""
        raise NotImplementedError

    def place(self, device: str) -> None:
        """Move the pictures to an accelerator."""
        self.pictures = DevicePictures(self.examples, device)
        for example in self.examples:
            example.forget()

    def render(self, plans: list[Tensor], step: int, device: str) -> list[Tensor]:
        """Make a batch of samples on the accelerator.

        Parameters
        ----------
        plans : list of Tensor
            What `plan` gave, a batch of each.
        step : int
            Number of the batch; its noise depends on it.
        device : str

        Returns
        -------
        list of Tensor
            As a batch of `draw`: the same up to rounding and noise.
        """
        generator = torch.Generator(device).manual_seed(self.spec.seed * SEEDS + step)
        return self.rendered([p.to(device, non_blocking=True) for p in plans], self.size_of(step), generator)

    def rendered(
        self, plans: list[Tensor], network: tuple[int, int], generator: torch.Generator
    ) -> list[Tensor]:
        """What `render` returns, of plans that are on the accelerator."""
        raise NotImplementedError


def as_input(picture: Picture) -> Tensor:
    """(H, W, 3) to (3, H, W)."""
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def known_mask(
    ignored: tuple[NDArray[np.float32], ...],
    affine: NDArray[np.float64],
    network: tuple[int, int],
    grid: tuple[int, int],
) -> NDArray[np.uint8]:
    """1 where the loss counts: 0 on crowds and on people without keypoints."""
    import cv2

    if not ignored:
        return np.ones(grid, np.uint8)
    canvas = np.ones((network[1], network[0]), np.uint8)
    for polygon in ignored:
        moved = polygon @ affine[:, :2].T + affine[:, 2]
        cv2.fillPoly(canvas, [np.round(moved).astype(np.int32)], 0)
    return np.asarray(cv2.resize(canvas, grid[::-1], interpolation=cv2.INTER_AREA), np.uint8)
