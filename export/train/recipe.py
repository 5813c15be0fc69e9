"""A training recipe: one TOML file that determines a run, except for the paths of its pictures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from export.train.data.augment import Augmentation
from export.train.data.crops import Crops
from export.train.data.examples import Source
from export.train.run.optimizer import Group, Schedule
from export.train.tasks.losses import WeightFunction
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.inputs import parse_toml, read_input
from rpi_runtime.strict import from_mapping

FOLDER = Path(__file__).parent / "recipes"
KEY = re.compile(r"\{([A-Za-z_]\w*)\}")  # a placeholder that --path fills; unlike {2} in a group's pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The weights that a run starts from.

    Attributes
    ----------
    method : {"scratch", "load", "prune", "refit"}
        Random weights; those of `weights`; those pruned by `export.zoo.lw_openpose.prune`; or those with every layer
        refitted for other activations by `export.train.start.refit`.
    weights : str
        As ``export.tflite --weights`` takes them.
    network : str
        The network of `weights`, if `prune` cuts down another one than the published network.
    pictures : int
        Number of pictures that `prune` or `refit` uses.
    """

    method: Literal["scratch", "load", "prune", "refit"] = "scratch"
    weights: str = ""
    network: str = "lw-openpose"
    pictures: int = 32

    def __post_init__(self) -> None:
        if (self.method != "scratch") != bool(self.weights):
            raise InputError(f"recipe: start.method {self.method!r} and start.weights do not go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Targets and loss: see `losses`, `targets` and `point_targets` in `export.train.tasks`.

    Attributes
    ----------
    sigma, limb_width, weighting : float
        For PAFs: sigma of the Gaussians in network pixels; half a limb's width in cells; see `stage_loss`.
    cell_sigma : float
        For tags and crops: sigma of the Gaussians in cells, at each resolution.
    tag_weight : float
        For tags: weight of the push and of the pull loss, relative to 1 for the heatmaps.
    function : {"none", "x", "2x", "x^2", "e^x"}
        For crops: F of the heatmap-weighting loss, or the plain loss of joints.
    exact : bool
        For crops: Gaussians around the keypoints themselves instead of their cells.
    """

    sigma: float = 7.0
    limb_width: float = 1.0
    weighting: float = 0.0
    cell_sigma: float = 2.0
    tag_weight: float = 1e-3
    function: WeightFunction = "none"
    exact: bool = False

    def __post_init__(self) -> None:
        if self.cell_sigma <= 0 or self.tag_weight < 0:
            raise InputError("recipe: targets.cell_sigma must be above 0, targets.tag_weight not below it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """A trained network whose maps are learnt, too (Hinton et al. 2015, arXiv:1503.02531).

    Attributes
    ----------
    weights : str
        For PAFs weights of lw-openpose, otherwise of the same network; as ``export.tflite --weights`` takes them.
    scale : float
        Factor by which the teacher's crop is larger than the student's; 1 except for PAFs.
    share : float
        Weight of the teacher's maps in the loss; the labels have the rest.
    """

    weights: str
    scale: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and 0 < self.scale <= 8):
            raise InputError(
                f"recipe: distillation share {self.share}, scale {self.scale}: expected above 0, to 1 and 8"
            )


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
    """Labelled pictures for choices during training, never trained on.

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
        """Whether a split's picture of this number, from 0, is held out."""
        if self.held_every:
            return number % self.held_every == 0
        return not self.train_every or number % self.train_every != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecipe:
    """Everything about a training run.

    Attributes
    ----------
    network : str
        A name of `export.train.tasks.networks`.
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
    teacher : str
        Teacher .tflite, exported at the recipe's single input size, whose maps fill in unlabelled people
        (`export.train.data.teacher`); "" for the labels alone. For PAFs only.
    start, data, targets, augmentation, crops, schedule, groups, holdout, distillation, iterate
        Their tables. `crops` is for top-down networks; `distillation` is not for networks with tags.
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
    crops: Crops | None = None
    distillation: Distillation | None = None
    iterate: Iterate = field(default_factory=Iterate)
    precision: Literal["float32", "bfloat16"] = "float32"
    quantization_aware: bool = False
    clip: float = 0.0
    average: float = 0.999
    seed: int = 0
    reuse: int = 0
    teacher: str = ""

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


def read_recipe(name: str, paths: Mapping[str, str]) -> TrainRecipe:
    """Read a recipe by name or path, with ``{key}`` in its strings replaced by `paths`.

    Raises
    ------
    UsageError
        The recipe does not exist, or a path that it needs was not given.
    InputError
        The recipe is invalid; the message names the key.
    """
    return from_mapping(TrainRecipe, _filled(_read(name), paths), InputError)


def as_written(name: str) -> str:
    """Return a recipe as JSON, paths not filled in: the same wherever the pictures lie."""
    return json.dumps(_read(name), sort_keys=True)


def same_recipe(one: str, other: str) -> bool:
    """Whether two recipes as JSON are equal. Keys that an older one lacks have their defaults."""
    try:
        first, second = (from_mapping(TrainRecipe, json.loads(text), InputError) for text in (one, other))
    except (ValueError, InputError):
        return False
    return first == second


def samples_key(recipe: TrainRecipe, outputs: str, pictures: Iterable[str]) -> str:
    """Return a digest of everything that determines a recipe's samples: settings, labels, teacher and `pictures`.

    Parameters
    ----------
    recipe : TrainRecipe
    outputs : str
        Description of the network's outputs. Samples serve every network with these outputs.
    pictures : iterable of str
        Names of the training pictures, in their order.
    """
    said = asdict(recipe)
    for key in ("weighting", "function"):  # of the loss
        del said["targets"][key]
    named = ("sizes", "seed", "targets", "augmentation", "crops", "reuse")
    scale = recipe.distillation.scale if recipe.distillation else 0
    described = {k: said[k] for k in named} | {"scale": scale, "outputs": outputs, "pictures": [*pictures]}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for path in (*(s.labels for s in recipe.data), *([recipe.teacher] if recipe.teacher else [])):
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def _read(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        text = read_input(path, 1 << 20)
    except OSError as err:
        raise UsageError(
            f"no recipe {name!r} ({err.strerror}); known: {', '.join(recipes())}, or a .toml"
        ) from err
    return parse_toml(text, path, "correct it")


def _filled(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, paths) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, paths) for v in value]
    if not isinstance(value, str):
        return value
    missing = [key for key in KEY.findall(value) if key not in paths]
    if missing:
        raise UsageError(f"the recipe needs a path: add --path {missing[0]}=PATH")
    return KEY.sub(lambda found: paths[found[1]], value)
