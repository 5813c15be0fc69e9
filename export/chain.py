"""One network at one size: ONNX -> equalized -> SavedModel -> float .tflite -> quantized .tflite -> gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.graph.equalize import Outlier, equalize, find_outliers, measure_channels
from export.graph.graph import OnnxGraph, run
from export.graph.parity import Parity, compare
from export.graph.regions import find_pairs
from export.graph.rewrite.passes import rewrite
from export.graph.savedmodel import to_savedmodel
from export.report.outcome import Layers, Outcome
from export.report.pictures import PosePicture, pose_pictures
from export.scratch import scratch
from export.zoo.network import Network
from quant.calibration import CalibrationSet
from quant.calibration_people import People, cut_people
from quant.compare import compare_files
from quant.convert import convert
from quant.evaluate import Evaluation, EvaluationSpec, evaluate_file
from quant.flatbuffer import TFLiteFile, append_members
from quant.gate import (
    Check,
    Limits,
    check_agreement,
    check_ap,
    check_delegation,
    check_floats,
    check_structure,
)
from quant.layers import LayerNoise, layer_noise
from quant.metrics import Agreement
from quant.progress import Progress
from quant.quiet import quiet
from quant.recipe import DEFAULTS, Recipe, load_recipe
from rpi_runtime import __version__
from rpi_runtime.decode.crops import crop_settings
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CALIBRATION_MEMBER, CARD_MEMBER

TOOLS = ("onnx", "onnx2tf", "tensorflow")
LAYER_IMAGES = 4  # number of images of the per-layer comparison, which runs on slow reference kernels
NAIVE, NAIVE_IMAGES = "w8c_a8", 8  # the report's comparison
KINDS = {"int8": "INT8", "float16": "float16", "float32": "float32"}  # as a reader calls them
FLOAT16_TOLERANCE = 2e-2  # 11 bits of mantissa through some 30 layers


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """How to export.

    Attributes
    ----------
    recipe : Recipe
    calibration : CalibrationSet or None
        Needed for int8.
    people : mapping of str to (x, y, width, height)
        Boxes of people on the calibration images, by name; top-down networks are calibrated on these crops.
    evaluation : EvaluationSpec or None
        Where to measure AP.
    limits : Limits
    output : path
        Folder.
    verbose : bool
        Whether to show the converters' output.
    """

    recipe: Recipe
    calibration: CalibrationSet | None
    evaluation: EvaluationSpec | None
    limits: Limits
    output: Path
    verbose: bool = False
    people: People = field(default_factory=dict)


def file_name(card: ModelCard, recipe: Recipe) -> str:
    """Return ``MODEL-WxH-KIND.tflite``; a recipe that is not its kind's default takes the place of the kind."""
    kind = recipe.kind if DEFAULTS[recipe.kind] == recipe.name else recipe.name
    return f"{card.name}-{card.input.size}-{kind}.tflite"


def export_one(network: Network, size: tuple[int, int], spec: ExportSpec, progress: Progress) -> Outcome:
    """Export one network at one size; `export.report.report.write_outcome` writes the file and its reports.

    Raises
    ------
    ParityError
        A step computes something else than the step before.
    """
    card = replace(network.card_at(*size), recipe=spec.recipe.name)
    if spec.calibration is not None and card.sees_crops:
        crops = cut_people(spec.calibration, spec.people, card.input, crop_settings(card))
        spec = replace(spec, calibration=crops)
    with scratch() as folder:
        return _Export(network, card, spec, progress, folder).run()


class _Export:
    """The steps of one export, in order, with their intermediate results."""

    def __init__(
        self, network: Network, card: ModelCard, spec: ExportSpec, progress: Progress, folder: Path
    ) -> None:
        self.network, self.card, self.spec, self.progress, self.folder = network, card, spec, progress, folder
        self.parities: list[Parity] = []
        self.first_stage = len(progress.stages)

    def run(self) -> Outcome:
        graph = self._rewrite(self._to_onnx())
        equalized, outliers = self._equalize(graph)
        saved = self._to_savedmodel(equalized)
        real = self._to_float(saved, equalized)
        data = self._quantize(saved, real)
        return self._finish(data, real, outliers, self._naive_layers(graph))

    def _to_onnx(self) -> OnnxGraph:
        with self.progress.stage("onnx") as notes, quiet(self.spec.verbose):
            graph, parities = self.network.build(self.card.input)
            self.parities += parities
            notes += [_worst(parities) or "as given", _megabytes(graph.model.ByteSize())]
        return graph

    def _rewrite(self, graph: OnnxGraph) -> OnnxGraph:
        rewritten, done = rewrite(graph)
        if not done:
            return graph
        with self.progress.stage("rewrite") as notes:
            image = self._image().transpose(0, 3, 1, 2)
            parities = compare("onnx -> rewritten", run(graph, image), run(rewritten, image))
            self.parities += parities
            notes += [_worst(parities), *(f"{count} {what}" for what, count in done.items())]
        return rewritten

    def _equalize(self, graph: OnnxGraph) -> tuple[OnnxGraph, tuple[Outlier, ...]]:
        how = self.spec.recipe.equalization
        if how.source == "off" and self.spec.calibration is None:
            return graph, ()
        with self.progress.stage("equalize") as notes:
            statistics = None
            if self.spec.calibration is not None:
                statistics = measure_channels(graph, find_pairs(graph), self._channels_first())
            outliers = tuple(find_outliers(statistics)) if statistics else ()
            equalized = equalize(graph, how, statistics)
            image = self._image().transpose(0, 3, 1, 2)
            parities = compare("onnx -> equalized", run(graph, image), run(equalized, image))
            self.parities += parities
            notes.append(f"{len(outliers)} outlier channels, source {how.source}, {_worst(parities)}")
        return equalized, outliers

    def _to_savedmodel(self, graph: OnnxGraph) -> Path:
        with self.progress.stage("tensorflow"), quiet(self.spec.verbose):
            return to_savedmodel(graph, self.folder)

    def _to_float(self, saved: Path, graph: OnnxGraph) -> Path:
        with self.progress.stage("float32") as notes:
            with quiet(self.spec.verbose):
                data = convert(saved, load_recipe(DEFAULTS["float32"]))
            path = self.folder / "float32.tflite"
            path.write_bytes(data)
            image = self._image()
            before = run(graph, image.transpose(0, 3, 1, 2))
            channels_last = {name: value.transpose(0, 2, 3, 1) for name, value in before.items()}
            parities = compare("onnx -> tflite", channels_last, self._outputs(path, image))
            self.parities += parities
            notes += [_worst(parities), _megabytes(len(data))]
        return path

    def _quantize(self, saved: Path, real: Path) -> bytes:
        recipe = self.spec.recipe
        if recipe.kind == "float32":
            return real.read_bytes()
        with self.progress.stage(recipe.kind) as notes:
            with quiet(self.spec.verbose):
                data = convert(saved, recipe, self._inputs)
            if recipe.kind == "float16":
                image = self._image()
                half = self.folder / "float16.tflite"
                half.write_bytes(data)
                outputs = self._outputs(real, image), self._outputs(half, image)
                parities = compare("float32 -> float16", *outputs, tolerance=FLOAT16_TOLERANCE)
                self.parities += parities
                notes.append(_worst(parities))
            else:
                notes.append(recipe.name)
            notes.append(_megabytes(len(data)))
        return data

    def _naive_layers(self, graph: OnnxGraph) -> Layers:
        """Return the noise per layer without equalization, for the report. A few images suffice."""
        if self.spec.recipe.equalization.source == "off":
            return {}
        recipe = load_recipe(NAIVE)
        with self.progress.stage("compare") as notes, quiet(self.spec.verbose):
            folder = self.folder / "naive"
            folder.mkdir()
            saved = to_savedmodel(graph, folder)
            real, quantized = folder / "float32.tflite", folder / "int8.tflite"
            real.write_bytes(convert(saved, load_recipe(DEFAULTS["float32"])))
            quantized.write_bytes(convert(saved, recipe, lambda: islice(self._inputs(), NAIVE_IMAGES)))
            notes.append(f"what {NAIVE} would do, layer by layer")
            return {NAIVE: self._layers(real, quantized)}

    def _finish(self, data: bytes, real: Path, outliers: tuple[Outlier, ...], naive: Layers) -> Outcome:
        bare = self.folder / "bare.tflite"
        bare.write_bytes(data)
        agreement, layers, checks = self._gate(data, bare, real)
        evaluations = self._evaluate(bare, real)
        if evaluations and self.spec.recipe.kind == "int8":
            checks += check_ap(evaluations[0].ap, evaluations[1].ap, self.spec.limits)
        card = self._described(agreement, evaluations)
        members = {CARD_MEMBER: card.to_json()}
        if self._calibrates and self.spec.calibration is not None:
            members[CALIBRATION_MEMBER] = self.spec.calibration.manifest.to_json()
        whole = append_members(data, members)
        path = self.spec.output / file_name(card, self.spec.recipe)
        if not all(c.passed for c in checks):
            path = path.with_name(path.name + ".rejected")
        return Outcome(
            path=path,
            content=whole,
            card=card,
            stages=tuple(self.progress.stages[self.first_stage :]),
            parities=tuple(self.parities),
            checks=tuple(checks),
            operations=dict(TFLiteFile(data).count_operations()),
            outliers=outliers,
            layers={**naive, **layers},
            agreement=agreement,
            evaluations=evaluations,
            pictures=self._pictures(bare, real),
        )

    def _gate(self, data: bytes, bare: Path, real: Path) -> tuple[Agreement | None, Layers, list[Check]]:
        if self.spec.recipe.kind != "int8" or self.spec.calibration is None:
            return None, {}, []
        with self.progress.stage("gate") as notes, quiet(self.spec.verbose):
            checks = check_structure(data, self.card.input)
            checks += check_delegation(Model(bare, card=self.card).delegation(), data)
            checks += check_floats(data)
            agreement = compare_files(real, bare, self.card, self.spec.calibration.frames)
            checks += check_agreement(agreement, self.spec.limits)
            layers = {self.spec.recipe.name: self._layers(real, bare)}
            failed = [c.name for c in checks if not c.passed]
            notes.append(f"failed: {', '.join(failed)}" if failed else f"{len(checks)} checks hold")
        return agreement, layers, checks

    def _layers(self, real: Path, quantized: Path) -> tuple[LayerNoise, ...]:
        return tuple(layer_noise(real, quantized, islice(self._inputs(), LAYER_IMAGES)))

    def _evaluate(self, bare: Path, real: Path) -> tuple[Evaluation, ...]:
        if self.spec.evaluation is None:
            return ()
        files = [real] if self.spec.recipe.kind == "float32" else [real, bare]
        with self.progress.stage("evaluate") as notes:
            names = [
                file_name(self.card, load_recipe(DEFAULTS["float32"])),
                file_name(self.card, self.spec.recipe),
            ]
            found = []
            for path, name in zip(files, names, strict=False):
                result = evaluate_file(path, self.spec.evaluation, self.progress, self.card).evaluation
                found.append(replace(result, file=name))
            notes.append("AP " + " -> ".join(f"{e.ap:.2f}" for e in found))
        return tuple(found)

    def _pictures(self, bare: Path, real: Path) -> tuple[PosePicture, ...]:
        if self.spec.recipe.kind == "float32" or self.spec.calibration is None:
            return ()
        with self.progress.stage("pictures"), quiet(self.spec.verbose):
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
        if self._calibrates and self.spec.calibration is not None:
            manifest = self.spec.calibration.manifest
            origin = replace(
                origin, calibration_sha256=manifest.sha256, calibration_images=len(manifest.images)
            )
        return replace(self.card, measured=measured, provenance=origin)

    @property
    def _calibrates(self) -> bool:
        return self.spec.recipe.kind == "int8"

    def _inputs(self) -> Iterator[NDArray[np.float32]]:
        assert self.spec.calibration is not None
        return self.spec.calibration.inputs(self.card.input)

    def _channels_first(self) -> Iterator[NDArray[np.float32]]:
        return (image.transpose(0, 3, 1, 2) for image in self._inputs())

    def _image(self) -> NDArray[np.float32]:
        """Return one input, (1, H, W, 3): the first calibration image, or noise without one."""
        if self.spec.calibration is not None:
            return next(self._inputs())
        spec = self.card.input
        pixels = np.random.default_rng(0).uniform(0, 255, (1, spec.height, spec.width, 3))
        return np.asarray((pixels - np.array(spec.mean)) * np.array(spec.scale), np.float32)

    def _outputs(self, path: Path, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with quiet(self.spec.verbose):
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
