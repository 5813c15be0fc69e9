"""The request of an export, checked before anything is loaded, and the export from request to reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from export.zoo.network import check_size
from export.zoo.registry import find_model
from quant.calibration import DEFAULT_COUNT
from quant.progress import Progress, reporter, reporting
from quant.quiet import verbosity
from quant.recipe import DEFAULTS, REPAIRS, Recipe, load_recipe, recipe_names
from rpi_runtime.errors import CardError, UsageError

if TYPE_CHECKING:
    from export.chain import ExportSpec
    from export.report.outcome import Outcome
    from export.zoo.network import Network
    from quant.calibration import CalibrationSet
    from rpi_runtime.evaluate.coco import CocoSplit

TRAINING = Path(__file__).parent / "train" / "recipes"
Kind = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The network to export, the way to export it, and the places to measure and write it.

    Attributes
    ----------
    model : str
        A network of the zoo, as in ``python -m export.tflite --list-models``; or `onnx` and `card` instead.
    weights : str
        ``bundled``, a published source by name, or a path; "" for the network's default.
    onnx, tflite : path or None
        A network of the user's own: its ONNX file, or a .tflite that computes in float.
    card : path or str
        What that network is: a TOML file, or the name of a card in `quant.cards`; "" with `model`, and for a .tflite
        that has its card inside.
    sizes : tuple of (int, int)
        Width and height of each file to make, in pixels; empty for the network's own size.
    kind : {"float32", "float16", "int8"} or None
        None for the recipe's kind, or float32 without a recipe.
    recipe : str
        A named recipe or the path of one; "" for the kind's default.
    calibration : str or None
        ``bundled``, ``coco`` or a folder of pictures; None for ``bundled``. For INT8 alone.
    calibration_images : int
    coco : path or None
        A folder in COCO's layout, to measure AP on.
    split : str
    max_ap_drop : float
        Points of AP. An INT8 file that loses more is refused.
    output : path
        Folder for the files and their reports.
    verbose : bool
        Whether to show the converters' output.

    Raises
    ------
    UsageError
        The settings contradict each other or make no sense.

    Examples
    --------
    >>> from export import ExportRequest
    >>> ExportRequest(model="lw-openpose", kind="int8", sizes=((160, 120),)).recipe_name
    'w8c_a8_eq'
    """

    model: str = ""
    weights: str = ""
    onnx: Path | None = None
    tflite: Path | None = None
    card: Path | str = ""
    sizes: tuple[tuple[int, int], ...] = ()
    kind: Kind | None = None
    recipe: str = ""
    calibration: str | None = None
    calibration_images: int = DEFAULT_COUNT
    coco: Path | None = None
    split: str = "val2017"
    max_ap_drop: float = 1.0
    output: Path = Path("models")
    verbose: bool = False

    def __post_init__(self) -> None:
        for size in self.sizes:
            check_size(*size)
        self._check_recipe()
        self._check_network()
        if self.calibration_images < 1:
            raise UsageError(f"--calibration-images {self.calibration_images}: expected 1 or more")
        if not self.max_ap_drop >= 0:  # also catches NaN
            raise UsageError(f"--max-ap-drop {self.max_ap_drop}: expected 0 or more points of AP")
        if self.calibration and load_recipe(self.recipe_name).kind != "int8":
            raise UsageError("--calibration goes with --int8")

    def _check_recipe(self) -> None:
        if self.recipe not in recipe_names() and (TRAINING / f"{self.recipe}.toml").is_file():
            raise UsageError(
                f"--recipe {self.recipe} is a training recipe, for export.train; quantization recipes: "
                f"{', '.join(recipe_names())}"
            )
        if self.recipe and self.kind and load_recipe(self.recipe).kind != self.kind:
            raise UsageError(
                f"--recipe {self.recipe} is not {self.kind}; leave --{self.kind} out, or choose another recipe"
            )

    def _check_network(self) -> None:
        own = self.onnx or self.tflite
        if bool(self.model) + bool(self.onnx) + bool(self.tflite) != 1:
            raise UsageError(
                "give --model NAME (see --list-models), --pair, or --onnx FILE or --tflite FILE with --card FILE.toml"
            )
        if bool(own) != bool(self.card) and not self.tflite:
            raise UsageError("--onnx or --tflite and --card go together: the card says what the network is")
        if own and self.weights:
            raise UsageError("--weights goes with --model; a file of your own has its weights in it")
        if self.model and not self.weights:
            _ = find_model(self.model).default_source  # raises if the network has no default

    @property
    def recipe_name(self) -> str:
        """The name of the recipe: the given one, or its kind's default."""
        return self.recipe or DEFAULTS[self.kind or "float32"]


def export_files(request: ExportRequest, progress: Progress | None = None) -> list[Outcome]:
    """Export one network at every requested size, each with its report beside it.

    Parameters
    ----------
    request : ExportRequest
    progress : Progress, optional
        Progress reporter. Default: silent.

    Returns
    -------
    list of Outcome
        One per size. A file that the gate refused has `passed` False and a path that ends in ``.rejected``.

    Raises
    ------
    PiposeError
        Weights, pictures or card cannot be used, a step changed what the network computes, or the output cannot be
        written.

    Examples
    --------
    >>> from export import ExportRequest, export_files
    >>> outcome = export_files(ExportRequest(model="lw-openpose", sizes=((64, 48),)))[0]
    >>> outcome.path.name, outcome.passed
    ('lw-openpose-64x48-float32.tflite', True)
    """
    with reporting(progress or Progress(quiet=True)), verbosity(request.verbose):
        return _export(request)


def _export(request: ExportRequest) -> list[Outcome]:
    recipe = load_recipe(request.recipe_name)
    network = _network(request)
    for size in request.sizes:
        network.card_at(*size)
    if request.coco and network.card.skeleton.keypoints and not network.card.skeleton.coco:
        raise CardError(
            f"{network.card.name}: its skeleton names no COCO keypoints, so --coco cannot score it",
            remedy="leave --coco out, or give the card's skeleton its coco indices",
        )
    spec = _spec(request, recipe, network)
    own = (network.card.input.width, network.card.input.height)
    return [_one(network, size, spec) for size in request.sizes or (own,)]


def _network(request: ExportRequest) -> Network:
    from export.zoo.own_network import own_network, own_tflite

    if request.onnx:
        return own_network(request.onnx, str(request.card))
    if request.tflite:
        return own_tflite(request.tflite, str(request.card))
    entry = find_model(request.model)
    with reporter().stage("weights") as notes:
        network = entry.load(request.weights or entry.default_source)
        notes += [network.card.provenance.weights_source, *network.notes]
    return network


def _spec(request: ExportRequest, recipe: Recipe, network: Network) -> ExportSpec:
    from export.calibration.sources import people_of
    from export.chain import ExportSpec
    from quant.accuracy.evaluation import EvaluationSpec, say_missing
    from quant.judge.gate import Limits
    from rpi_runtime.evaluate.coco import read_split
    from rpi_runtime.evaluate.images import check_sizes

    split = read_split(request.coco, request.split) if request.coco else None
    if split:
        say_missing(split)
        check_sizes(split)  # now, not behind minutes of work
    calibration, people = None, {}
    if recipe.kind == "int8":
        with reporter().stage("calibration") as notes:
            calibration = _read_calibration(request, split, notes)
            if network.card.sees_crops:
                people = people_of(request.calibration)
                cut = sum(name in people for name, _ in calibration.manifest.images)
                notes.append(f"people cut out of {cut}, the others taken for crops")
    return ExportSpec(
        recipe=recipe,
        calibration=calibration,
        evaluation=EvaluationSpec(split=split) if split else None,
        limits=Limits(ap_drop=request.max_ap_drop),
        output=request.output,
        people=people,
        repairs=() if request.recipe or recipe.kind != "int8" else tuple(map(load_recipe, REPAIRS)),
    )


def _read_calibration(request: ExportRequest, split: CocoSplit | None, notes: list[str]) -> CalibrationSet:
    from export.calibration.sources import find_images
    from quant.calibration import read_calibration

    paths, source = find_images(request.calibration, request.calibration_images)
    calibration = read_calibration(paths, source, [i.path for i in split.images] if split else [])
    notes.append(f"{len(calibration.frames)} images of {calibration.manifest.source}")
    if calibration.dark:
        notes.append(
            f"{len(calibration.dark)} nearly black (values of 12 bits in files of 16?): "
            f"{', '.join(calibration.dark[:3])}"
        )
    if calibration.skipped:
        notes.append(f"{len(calibration.skipped)} unreadable, skipped: {', '.join(calibration.skipped[:5])}")
    return calibration


def _one(network: Network, size: tuple[int, int], spec: ExportSpec) -> Outcome:
    from export.chain import export_one
    from export.report.report import remove_refused, write_outcome

    reporter().say(f"{network.card.name} {size[0]}x{size[1]} {spec.recipe.name}")
    exported = export_one(network, size, spec)
    write_outcome(exported)
    if exported.passed:
        remove_refused(exported.path)
    return exported
