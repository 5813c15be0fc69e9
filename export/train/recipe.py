"""A training recipe: one TOML file that says everything about a run but where its pictures lie."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from export.train.augment import Augmentation
from export.train.data import Source
from export.train.optimizer import Group, Schedule
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.records import from_mapping

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where the weights come from.

    Attributes
    ----------
    method : {"scratch", "load", "prune"}
        Random; those of `weights`; or what `export.train.prune` leaves of them.
    weights : str
        As ``export.tflite --weights`` takes them.
    pictures : int
        That `prune` looks at.
    """

    method: Literal["scratch", "load", "prune"] = "scratch"
    weights: str = ""
    pictures: int = 32

    def __post_init__(self) -> None:
        if (self.method != "scratch") != bool(self.weights):
            raise InputError(f"recipe: start.method {self.method!r} and start.weights do not go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Targets and loss: see `export.train.targets.TargetSpec` and `export.train.losses`."""

    sigma: float = 7.0
    limb_width: float = 1.0
    weighting: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Labelled pictures for choices during training, never trained on.

    Attributes
    ----------
    coco : str
        A folder in COCO's layout.
    split : str
    train_every : int
        One picture in so many is left to training, the others are held out; 0 holds out all.
    every : int
        Measure after so many steps, and at the end; 0 for the end only.
    """

    coco: str
    split: str = "train2017"
    train_every: int = 0
    every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecipe:
    """Everything about a training run.

    Attributes
    ----------
    network : str
        A name of `export.train.networks`.
    summary : str
    sizes : tuple of str
        Input sizes, WxH; one batch after the other takes the next.
    batch : int
    pictures : int
        Samples in all; the steps are this over `batch`.
    precision : {"float32", "bfloat16"}
        Of the convolutions; weights and losses stay float32.
    clip : float
        Largest norm of a step's gradient; 0 for no limit.
    average : float
        Decay of the moving average of the weights.
    seed : int
    teacher : str
        A .tflite of the only size that completes the labels (`export.train.teacher`); "" for the labels alone.
    start, data, targets, augmentation, schedule, groups, holdout
        Their tables.
    """

    network: str
    summary: str
    sizes: tuple[str, ...]
    batch: int
    pictures: int
    schedule: Schedule
    data: tuple[Source, ...]
    start: Start = field(default_factory=Start)
    targets: Targets = field(default_factory=Targets)
    augmentation: Augmentation = field(default_factory=Augmentation)
    groups: tuple[Group, ...] = ()
    holdout: Holdout | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    clip: float = 0.0
    average: float = 0.999
    seed: int = 0
    teacher: str = ""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.pictures < self.batch:
            raise InputError(
                f"recipe: {self.pictures} pictures in batches of {self.batch}: expected one batch or more"
            )
        self.network_sizes  # noqa: B018  raises

    @property
    def steps(self) -> int:
        """How many batches."""
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


def read_recipe(name: str, paths: dict[str, str]) -> TrainRecipe:
    """Read a recipe by name or path, with ``{key}`` in its strings replaced by `paths`.

    Raises
    ------
    UsageError
        No such recipe, or a path that it needs was not given.
    InputError
        Not a valid recipe, with the key that is wrong.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text())
    except OSError as err:
        raise UsageError(
            f"no recipe {name!r} ({err.strerror}); known: {', '.join(recipes())}, or a .toml"
        ) from err
    except tomllib.TOMLDecodeError as err:
        raise InputError(f"{path}: not valid TOML ({err})") from err
    return from_mapping(TrainRecipe, _filled(data, paths), InputError)


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def _filled(value: Any, paths: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, paths) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, paths) for v in value]
    if not isinstance(value, str):
        return value
    try:
        return value.format_map(paths)
    except KeyError as err:
        raise UsageError(f"the recipe needs a path: add --path {err.args[0]}=FOLDER") from err
