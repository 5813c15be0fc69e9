"""One network at one size: float .tflite -> quantized .tflite -> gate -> repair where the gate refuses -> card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.graph.parity import Parity, compare
from export.integers import Made, Maker
from export.report.outcome import Layers, Outcome
from export.report.pictures import PosePicture, pose_pictures
from export.scratch import scratch
from export.zoo.network import Network
from quant.accuracy.evaluation import Evaluation, EvaluationSpec, evaluate_file
from quant.calibration import CalibrationSet
from quant.calibration_people import People, cut_people
from quant.floats import find_islands, share_in_float
from quant.judge.gate import Limits, check_ap
from quant.judge.metrics import Agreement
from quant.layers import layer_noise
from quant.progress import reporter, reporting
from quant.quantize.halve import rounded_to_halves, to_halves
from quant.quiet import quiet
from quant.recipe import DEFAULTS, Recipe, load_recipe
from quant.tflite.read import read_model
from quant.tflite.records import Model as Records
from quant.tflite.write import append_members, write_model
from rpi_runtime import __version__
from rpi_runtime.decode.crops import crop_settings
from rpi_runtime.errors import UsageError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CALIBRATION_MEMBER, CARD_MEMBER

TOOLS = ("numpy", "ai-edge-litert")
LAYER_IMAGES = 4  # that the per-layer comparison runs
NAIVE = "w8c_a8"  # the report's comparison
KINDS = {"int8": "INT8", "float16": "float16", "float32": "float32"}  # as a reader calls them


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """How to export.

    Attributes
    ----------
    recipe : Recipe
    calibration : CalibrationSet or None
        The pictures that int8 needs. Other kinds use them for the report only.
    people : mapping of str to (x, y, width, height)
        The person on each calibration image, by name; networks of crops see only these.
    repairs : tuple of Recipe
        What to try after `recipe`, in this order, until the gate holds.
    evaluation : EvaluationSpec or None
        Where to measure AP.
    limits : Limits
    output : path
        Folder.
    """

    recipe: Recipe
    calibration: CalibrationSet | None
    evaluation: EvaluationSpec | None
    limits: Limits
    output: Path
    people: People = field(default_factory=dict)
    repairs: tuple[Recipe, ...] = ()

    def __post_init__(self) -> None:
        if self.recipe.kind == "int8" and self.calibration is None:
            raise UsageError(
                f"recipe {self.recipe.name}: INT8 needs pictures to calibrate on; add --calibration"
            )


def file_name(card: ModelCard, recipe: Recipe) -> str:
    """Return ``MODEL-WxH-KIND.tflite``; a recipe that is not its kind's default takes the place of the kind."""
    kind = recipe.kind if DEFAULTS[recipe.kind] == recipe.name else recipe.name
    return f"{card.name}-{card.input.size}-{kind}.tflite"


def export_one(network: Network, size: tuple[int, int], spec: ExportSpec) -> Outcome:
    """Export one network at one size; `export.report.report.write_outcome` writes the file and its reports.

    Raises
    ------
    ParityError
        A step computes something else than the step before.
    """
    card = replace(network.card_at(*size), recipe=spec.recipe.name)
    taken = 0
    if spec.calibration is not None and card.sees_crops:
        taken = sum(name not in spec.people for name, _ in spec.calibration.manifest.images)
        crops = cut_people(spec.calibration, spec.people, card.input, crop_settings(card))
        spec = replace(spec, calibration=crops)
    with scratch() as folder, reporting(reporter().part()):
        return replace(_Export(network, card, spec, folder).run(), taken_for_crops=taken)


class _Export:
    """The steps of one export, in order, with their intermediate results."""

    def __init__(self, network: Network, card: ModelCard, spec: ExportSpec, folder: Path) -> None:
        self.network, self.card, self.spec, self.folder = network, card, spec, folder
        self.parities: list[Parity] = []
        self._real_ap: Evaluation | None = None

    def run(self) -> Outcome:
        network, real = self._to_float()
        if self._calibrated is not None:
            made = self._to_integers(network, real, self._calibrated)
        elif self.spec.recipe.kind == "float16":
            made = Made(data=self._to_halves(network, real))
        else:
            made = Made(data=real.read_bytes())
        return self._finish(made, real)

    @property
    def _calibrated(self) -> CalibrationSet | None:
        """The pictures that the file is quantized on; None for float files."""
        return self.spec.calibration if self.spec.recipe.kind == "int8" else None

    def _to_float(self) -> tuple[Records, Path]:
        with reporter().stage("float32") as notes:
            with quiet():
                made = self.network.build(self.card.input)
            self.parities += made.parities
            data = write_model(made.model)
            path = self.folder / "float32.tflite"
            path.write_bytes(data)
            notes += [_worst(list(made.parities)), *made.notes, _megabytes(len(data))]
        return made.model, path

    def _to_halves(self, network: Records, real: Path) -> bytes:
        """Store weights as halves. The file must compute what float32 computes with the rounded weights.

        What the rounding itself changes depends on the network, and most of it lies where the network sees nobody:
        outputs of RTMDet-nano move by 6 % of their largest value, and its AP does not.
        """
        with reporter().stage("float16") as notes:
            data = write_model(to_halves(network))
            half, rounded = self.folder / "float16.tflite", self.folder / "rounded.tflite"
            half.write_bytes(data)
            rounded.write_bytes(write_model(rounded_to_halves(network)))
            before, stored, found = (self._outputs(path, self._image()) for path in (real, rounded, half))
            parities = compare("rounded -> float16", stored, found)
            self.parities += parities
            moved = compare("float32 -> rounded", before, stored, tolerance=np.inf)
            worst = max(p.relative_error for p in moved)
            notes += [
                _worst(parities),
                f"the rounding moves outputs by up to {worst:.1e}",
                _megabytes(len(data)),
            ]
        return data

    def _to_integers(self, network: Records, real: Path, calibration: CalibrationSet) -> Made:
        def measure(path: Path) -> tuple[Evaluation, ...]:
            return self._measure(real, path)

        maker = Maker(
            self.card,
            calibration,
            self.spec.limits,
            real,
            reporter(),
            None if self.spec.evaluation is None else measure,
        )
        made = maker.make(network, (self.spec.recipe, *self.spec.repairs))
        self.card = replace(self.card, recipe=made.recipe)
        self.parities += made.parities
        return made

    def _layers(self, made: Made) -> Layers:
        """Noise by layer, of this file and of the naive one, for the report."""
        if made.quantizer is None or made.quantized is None:
            return {}
        images = made.quantizer.images[:LAYER_IMAGES]
        with reporter().stage("layers") as notes, quiet():
            found = {made.recipe: layer_noise(made.quantized.real, made.quantized.model, images)}
            if made.recipe != NAIVE:
                naive = made.quantizer.quantize(load_recipe(NAIVE))
                found[NAIVE] = layer_noise(naive.real, naive.model, images)
                notes.append(f"beside what {NAIVE} would do")
        return {name: tuple(noise) for name, noise in found.items()}

    def _finish(self, made: Made, real: Path) -> Outcome:
        bare = self.folder / "bare.tflite"
        bare.write_bytes(made.data)
        checks = list(made.checks)
        evaluations = made.evaluations
        if not evaluations and self.spec.evaluation is not None:
            evaluations = self._measure(real, None if self.spec.recipe.kind == "float32" else bare)
            if self.spec.recipe.kind == "int8":
                checks += check_ap(evaluations[0].ap, evaluations[1].ap, self.spec.limits)
        evaluations = self._named(evaluations)
        card = self._described(made.agreement, evaluations)
        members = {CARD_MEMBER: card.to_json()}
        if self._calibrated is not None:
            members[CALIBRATION_MEMBER] = self._calibrated.manifest.to_json()
        whole = append_members(made.data, members)
        path = self.spec.output / file_name(card, self.spec.recipe)
        if not all(c.passed for c in checks):
            path = path.with_name(path.name + ".rejected")
        return Outcome(
            path=path,
            content=whole,
            card=card,
            stages=tuple(reporter().stages),
            parities=tuple(self.parities),
            checks=tuple(checks),
            operations=dict(read_model(made.data).count_operators()),
            in_float=0.0 if made.quantized is None else share_in_float(find_islands(made.quantized.model)),
            outliers=() if made.quantized is None else made.quantized.outliers,
            layers=self._layers(made),
            agreement=made.agreement,
            attempts=made.attempts,
            untried=made.untried,
            evaluations=evaluations,
            pictures=self._pictures(bare, real),
        )

    def _measure(self, real: Path, other: Path | None) -> tuple[Evaluation, ...]:
        """AP of the float file, measured once, and of another."""
        spec = self.spec.evaluation
        assert spec is not None
        with reporter().stage("evaluate") as notes:
            if self._real_ap is None:
                self._real_ap = evaluate_file(real, spec, self.card).evaluation
            found = [self._real_ap]
            if other is not None:
                found.append(evaluate_file(other, spec, self.card).evaluation)
            notes.append("AP " + " -> ".join(f"{e.ap:.2f}" for e in found))
        return tuple(found)

    def _named(self, evaluations: tuple[Evaluation, ...]) -> tuple[Evaluation, ...]:
        """The evaluations with the names that the files will have."""
        recipes = (load_recipe(DEFAULTS["float32"]), self.spec.recipe)
        return tuple(
            replace(e, file=file_name(self.card, recipe), recipe=self.card.recipe if i else recipe.name)
            for i, (e, recipe) in enumerate(zip(evaluations, recipes, strict=False))
        )

    def _pictures(self, bare: Path, real: Path) -> tuple[PosePicture, ...]:
        if self.spec.recipe.kind == "float32" or self.spec.calibration is None:
            return ()
        with reporter().stage("pictures"), quiet():
            return tuple(
                pose_pictures(real, bare, self.card, self.spec.calibration, KINDS[self.spec.recipe.kind])
            )

    def _described(self, agreement: Agreement | None, evaluations: tuple[Evaluation, ...]) -> ModelCard:
        measured: dict[str, float] = {}
        if agreement is not None:
            measured |= {
                "heatmap_rmse": agreement.heatmap_rmse,
                "lost_peaks": agreement.lost,
                "keypoint_shift_px": agreement.shift_px,
            }
            if self.card.outputs_of("pafs"):
                measured["paf_relative_l2"] = agreement.paf_relative_l2
            if self.card.outputs_of("tags"):
                measured["tag_rmse"] = agreement.tag_rmse
        if evaluations:
            measured |= {"ap": evaluations[-1].ap, "ap_float32": evaluations[0].ap}
        origin = replace(self.card.provenance, tools={"pipose": __version__} | {t: version(t) for t in TOOLS})
        if self._calibrated is not None:
            manifest = self._calibrated.manifest
            origin = replace(
                origin, calibration_sha256=manifest.sha256, calibration_images=len(manifest.images)
            )
        return replace(self.card, measured=measured, provenance=origin)

    def _image(self) -> NDArray[np.float32]:
        """Return one input, (1, H, W, 3): the first calibration image, or noise without one."""
        if self.spec.calibration is not None:
            return next(self.spec.calibration.inputs(self.card.input))
        spec = self.card.input
        pixels = np.random.default_rng(0).uniform(0, 255, (1, spec.height, spec.width, 3))
        return np.asarray((pixels - np.array(spec.mean)) * np.array(spec.scale), np.float32)

    def _outputs(self, path: Path, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with quiet():
            model = Model(path, card=self.card)
        model.input[:] = image
        model.invoke()
        return {o.name: model.real_output(o.role, o.stride)[None] for o in self.card.outputs}


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _worst(parities: list[Parity]) -> str:
    if not parities:
        return ""
    return f"{parities[0].step} within {max(p.relative_error for p in parities):.1e}"
