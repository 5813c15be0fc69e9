"""A training recipe. It determines a run, except for the paths of its pictures.

`export.train.family_recipes` adds the settings of each family of networks; `export.train.recipe_files` reads recipes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from export.train.data.augment import LightRange
from export.train.data.examples import LabelledSource
from export.train.run.optimizer import Group, Schedule
from export.train.start.settings import AnyStart
from export.zoo.registry import find_trainable
from rpi_runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterate:
    """Training in stages of `pictures` samples each (Zhang et al. 2019, arXiv:1911.10346, section 3.4).

    Each stage has a new optimizer and the whole schedule, and starts from the weights of the stage before that had
    the best AP on held-out pictures.
    """

    stages: int = 1

    def __post_init__(self) -> None:
        if self.stages < 1:
            raise InputError(f"recipe: iterate.stages {self.stages}: expected 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Labelled pictures for choices during training. Training never uses them.

    Attributes
    ----------
    coco : str
        A folder in COCO's layout.
    split : str
    train_every : int
        Every n-th picture is used for training; the others are held out.
    held_every : int
        Every n-th picture is held out; the others are used for training. If both are 0, all are held out.
    every : int
        Number of steps between two measurements; each stage is also measured at its end. 0: at the end only. The best
        weights measured are kept.
    """

    coco: str
    split: str = "train2017"
    train_every: int = 0
    held_every: int = 0
    every: int = 0

    def __post_init__(self) -> None:
        if min(self.train_every, self.held_every, self.every) < 0 or (self.train_every and self.held_every):
            raise InputError(
                "recipe: holdout: expected 0 or more, and one of train_every and held_every at most"
            )

    def holds(self, number: int) -> bool:
        """Return whether picture `number` of a split, counted from 0, is held out."""
        if self.held_every:
            return number % self.held_every == 0
        return not self.train_every or number % self.train_every != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Settings that every training run has.

    Attributes
    ----------
    network : str
        A name of `export.zoo.registry.TRAINABLE`. The kind of its decoder decides which recipe class it is trained by.
    summary : str
    sizes : tuple of str
        Input sizes, WxH. Consecutive batches use them in turn.
    batch : int
    pictures : int
        Samples of a stage; a stage has `pictures` / `batch` steps. There is one stage unless `iterate` is given.
    precision : {"float32", "bfloat16"}
        Precision of the convolutions. Weights and losses stay float32.
    quantization_aware : bool
        Train with weights and activations rounded as in INT8 (`export.train.run.quantization_aware`): for a final run
        of weights that lose too much when they are quantized.
    clip : float
        Maximum norm of a step's gradient; 0 for no limit.
    average : float
        Decay of the moving average of the weights.
    seed : int
    reuse : int
        Number of epochs after which the samples of the first epochs are used again, in another order; 0 for always new
        ones. For one size only; it pays if a teacher processes the samples, see ``--samples``.
    start, data, augmentation, schedule, groups, holdout, iterate
        Their tables.
    """

    kind: ClassVar[str]  # of the network's decoder
    family: ClassVar[str]  # in messages

    network: str
    summary: str
    sizes: tuple[str, ...]
    batch: int
    pictures: int
    schedule: Schedule
    data: tuple[LabelledSource, ...]
    start: AnyStart
    augmentation: LightRange
    groups: tuple[Group, ...] = ()
    holdout: Holdout | None = None
    iterate: Iterate = field(default_factory=Iterate)
    precision: Literal["float32", "bfloat16"] = "float32"
    quantization_aware: bool = False
    clip: float = 0.0
    average: float = 0.999
    seed: int = 0
    reuse: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.pictures < self.batch:
            raise InputError(
                f"recipe: {self.pictures} pictures in batches of {self.batch}: expected one batch or more"
            )
        if self.reuse < 0 or (self.reuse and len(self.sizes) > 1):
            raise InputError(f"recipe: reuse {self.reuse}: expected 0 or more, and one of sizes with it")
        if self.iterate.stages > 1 and self.holdout is None:
            raise InputError(
                "recipe: iterate needs a [holdout], to choose the weights that a stage starts from"
            )
        if find_trainable(self.network).description.decoder.kind != self.kind:
            raise InputError(f"recipe: network {self.network!r}: expected one of the {self.family}")
        self.network_sizes  # noqa: B018  raises

    @property
    def steps(self) -> int:
        """Number of batches of a stage."""
        return self.pictures // self.batch

    @property
    def network_sizes(self) -> tuple[tuple[int, int], ...]:
        """The sizes as (width, height)."""
        try:
            pairs = tuple(tuple(int(v) for v in size.split("x")) for size in self.sizes)
        except ValueError as err:
            raise InputError(f"recipe: sizes {self.sizes}: expected WxH, as in 160x120") from err
        if not pairs or any(len(p) != 2 or min(p) < 32 for p in pairs):
            raise InputError(f"recipe: sizes {self.sizes}: expected WxH of at least 32, as in 160x120")
        return pairs  # type: ignore[return-value]

    def sample_settings(self) -> dict[str, Any]:
        """Return every setting that the samples depend on, files left out."""
        return {
            "sizes": self.sizes,
            "seed": self.seed,
            "reuse": self.reuse,
            "augmentation": asdict(self.augmentation),
        }

    def sample_files(self) -> tuple[str, ...]:
        """Return the files, except pictures, that the samples depend on."""
        return tuple(source.labels for source in self.data)
