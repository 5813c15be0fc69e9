"""The recipe of each family of networks: a tagged union, whose tag is the kind of the network's decoder.

=========  =========================  ================================================================
kind       networks                   settings beside those of `export.train.recipe.TrainingRecipe`
=========  =========================  ================================================================
paf        Lightweight OpenPose       ``teacher``, ``[targets]``, ``[distillation]``
tags       EfficientHRNet             ``[targets]``
topdown    LPN, HWL, the refiner      ``[targets]``, ``[crops]``, ``[distillation]``
boxes      the finder                 ``[distillation]``, without which it has nothing to learn from
=========  =========================  ================================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from export.train.data.augment import Augmentation, LightRange
from export.train.data.crops import Crops
from export.train.recipe import TrainingRecipe
from export.train.start.settings import PruneStart, RefitStart, Start
from export.train.tasks.losses import WeightFunction
from export.zoo.registry import find_trainable
from rpi_runtime.errors import InputError
from rpi_runtime.model.decoders import TopdownSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """A trained network whose maps are learnt, too (Hinton et al. 2015, arXiv:1503.02531).

    Attributes
    ----------
    weights : str
        Weights of the same network, as ``export.tflite --weights`` takes them.
    """

    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CropDistillation(Distillation):
    """A teacher beside the labels.

    Attributes
    ----------
    share : float
        Weight of the teacher's maps in the loss; the labels have the rest.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"recipe: distillation share {self.share}: expected above 0, to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PafDistillation(CropDistillation):
    """A teacher that sees a larger crop; `weights` are those of lw-openpose.

    Attributes
    ----------
    scale : float
        Factor by which the teacher's crop is larger than the student's.
    """

    scale: float = 2.0

    def __post_init__(self) -> None:
        CropDistillation.__post_init__(self)
        if not 0 < self.scale <= 8:
            raise InputError(f"recipe: distillation scale {self.scale}: expected above 0, to 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class PafTargets:
    """Heatmaps and PAFs: see `export.train.tasks.targets`.

    Attributes
    ----------
    sigma : float
        Standard deviation of the Gaussians, in network pixels.
    limb_width : float
        Half a limb's width, in cells.
    weighting : float
        See `export.train.tasks.losses.stage_loss`.
    """

    sigma: float = 7.0
    limb_width: float = 1.0
    weighting: float = 0.0

    def __post_init__(self) -> None:
        if self.sigma <= 0 or self.limb_width <= 0:
            raise InputError(
                f"recipe: targets.sigma {self.sigma}, targets.limb_width {self.limb_width}: expected above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTargets:
    """Heatmaps and tags: see `export.train.tasks.point_targets`.

    Attributes
    ----------
    cell_sigma : float
        Standard deviation of the Gaussians in cells, at each resolution.
    tag_weight : float
        Weight of the push and of the pull loss, relative to 1 for the heatmaps.
    """

    cell_sigma: float = 2.0
    tag_weight: float = 1e-3

    def __post_init__(self) -> None:
        _check_cells(self.cell_sigma)
        if self.tag_weight < 0:
            raise InputError(f"recipe: targets.tag_weight {self.tag_weight}: expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropTargets:
    """Heatmaps of one person: see `export.train.tasks.point_targets`.

    Attributes
    ----------
    cell_sigma : float
        Standard deviation of the Gaussians, in cells.
    function : {"none", "x", "2x", "x^2", "e^x"}
        F of the heatmap-weighting loss; "none" for the plain loss of joints.
    exact : bool
        Draw the Gaussians around the keypoints themselves instead of their cells.
    """

    cell_sigma: float = 2.0
    function: WeightFunction = "none"
    exact: bool = False

    def __post_init__(self) -> None:
        _check_cells(self.cell_sigma)


def _check_cells(sigma: float) -> None:
    if sigma <= 0:
        raise InputError(f"recipe: targets.cell_sigma {sigma}: expected above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PafRecipe(TrainingRecipe):
    """Training of a network with heatmaps and PAFs.

    Attributes
    ----------
    teacher : str
        Teacher .tflite, exported at the recipe's single input size, whose maps fill in unlabelled people
        (`export.train.data.teacher`); "" for the labels alone.
    start, augmentation, targets, distillation
        Their tables.
    """

    kind: ClassVar[str] = "paf"
    family: ClassVar[str] = "networks with PAFs"

    start: PruneStart = field(default_factory=PruneStart)
    augmentation: Augmentation = field(default_factory=Augmentation)
    targets: PafTargets = field(default_factory=PafTargets)
    distillation: PafDistillation | None = None
    teacher: str = ""

    def sample_settings(self) -> dict[str, Any]:
        """Return every setting that the samples depend on, files left out."""
        return {
            **TrainingRecipe.sample_settings(self),
            "sigma": self.targets.sigma,
            "limb_width": self.targets.limb_width,
            "scale": self.distillation.scale if self.distillation else 0,
        }

    def sample_files(self) -> tuple[str, ...]:
        """Return the files, except pictures, that the samples depend on."""
        return (*TrainingRecipe.sample_files(self), *([self.teacher] if self.teacher else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRecipe(TrainingRecipe):
    """Training of a network with heatmaps and tags; `start`, `augmentation` and `targets` are its tables.

    ``augmentation.scale`` is that of `export.train.data.augment.square_affine`.
    """

    kind: ClassVar[str] = "tags"
    family: ClassVar[str] = "networks with tags"

    start: Start = field(default_factory=Start)
    augmentation: Augmentation = field(default_factory=Augmentation)
    targets: TagTargets = field(default_factory=TagTargets)

    def sample_settings(self) -> dict[str, Any]:
        """Return every setting that the samples depend on, files left out."""
        return {**TrainingRecipe.sample_settings(self), "cell_sigma": self.targets.cell_sigma}


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRecipe(TrainingRecipe):
    """Training of a top-down network; `start`, `augmentation`, `targets`, `crops` and `distillation` are its tables.

    The augmentation changes the light only; `crops` has the geometry.
    """

    kind: ClassVar[str] = "topdown"
    family: ClassVar[str] = "top-down networks"

    start: Start = field(default_factory=Start)
    augmentation: LightRange = field(default_factory=LightRange)
    targets: CropTargets = field(default_factory=CropTargets)
    crops: Crops = field(default_factory=Crops)
    distillation: CropDistillation | None = None

    @property
    def decoder(self) -> TopdownSettings:
        """The decoder of the network, which decides where a keypoint is drawn."""
        decoder = find_trainable(self.network).description.decoder
        if not isinstance(decoder, TopdownSettings):
            raise TypeError(f"{self.network}: a {decoder.kind} decoder, expected that of heatmaps")
        return decoder

    def sample_settings(self) -> dict[str, Any]:
        """Return every setting that the samples depend on, files left out."""
        return {
            **TrainingRecipe.sample_settings(self),
            "cell_sigma": self.targets.cell_sigma,
            "exact": self.targets.exact,
            "crops": asdict(self.crops),
            "box_middle": self.decoder.box_middle,
            "cell_origin": self.decoder.cell_origin,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRecipe(TrainingRecipe):
    """Training of a detector by a trained one; `start`, `augmentation` and `distillation` are its tables."""

    kind: ClassVar[str] = "boxes"
    family: ClassVar[str] = "detectors"

    distillation: Distillation
    start: RefitStart = field(default_factory=RefitStart)
    augmentation: Augmentation = field(default_factory=Augmentation)


TrainRecipe = PafRecipe | TagRecipe | CropRecipe | BoxRecipe
RECIPES: dict[str, type[TrainRecipe]] = {
    recipe.kind: recipe for recipe in (PafRecipe, TagRecipe, CropRecipe, BoxRecipe)
}
