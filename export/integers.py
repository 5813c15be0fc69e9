"""A float network becomes an INT8 file that the gate accepts: one recipe after the other until it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.graph.parity import Parity, compare
from export.report.outcome import Attempt, Untried
from quant.accuracy.evaluation import Evaluation
from quant.calibration import CalibrationSet
from quant.importance import for_decoder
from quant.judge.compare import compare_files
from quant.judge.gate import (
    Check,
    Limits,
    check_agreement,
    check_ap,
    check_delegation,
    check_floats,
    check_structure,
)
from quant.judge.metrics import Agreement
from quant.progress import Progress
from quant.quantize.quantizer import QuantizedNetwork, Quantizer
from quant.quiet import quiet
from quant.recipe import Recipe, RecipeError
from quant.tflite.records import Model, Quantization
from quant.tflite.run import run_model
from quant.tflite.write import write_model
from rpi_runtime.errors import DependencyError, ParityError
from rpi_runtime.model import interpreter
from rpi_runtime.model.card import InputSpec, ModelCard

Measure = Callable[[Path], tuple[Evaluation, ...]]  # of a file, beside the float network's

# Relative to an output's largest value. Channels are rescaled by factors up to 1024, and 500 layers in a row round them
# anew: 1.4e-4 was seen on the refiner of the pair, with its 269 convolutions.
EQUALIZED = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A file, and for INT8 what the gate found.

    Attributes
    ----------
    data : bytes
    recipe : str
    quantized : QuantizedNetwork or None
    checks : tuple of Check
    agreement : Agreement or None
    attempts : tuple of Attempt
        Everything tried; the last is this recipe's where the gate accepts it.
    untried : Untried or None
        What could not be tried, where the gate accepts none.
    quantizer : Quantizer or None
        For further recipes on the same network.
    parities : tuple of Parity
        How the equalized float network compares with the float network.
    evaluations : tuple of Evaluation
        AP of the float network and of this file, where there are pictures to measure it on and the other checks hold.
    """

    data: bytes
    recipe: str = ""
    quantized: QuantizedNetwork | None = None
    checks: tuple[Check, ...] = ()
    agreement: Agreement | None = None
    attempts: tuple[Attempt, ...] = ()
    untried: Untried | None = None
    quantizer: Quantizer | None = None
    parities: tuple[Parity, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()


def input_grid(spec: InputSpec) -> Quantization:
    """Return the grid on which an int8 input is the pixel's value minus 128, whatever was calibrated."""
    return Quantization.of(spec.scale[0], round(spec.mean[0]) - 128)


def _loss(made: Made) -> tuple[bool, float]:
    """Sorts files that the gate refuses: by the AP lost where that is all that failed, else by the likeness."""
    if made.evaluations:
        real, quantized = made.evaluations
        return False, real.ap - quantized.ap
    assert made.agreement is not None
    likeness = made.agreement.likeness
    return True, made.agreement.output_error if likeness is None else 1 - likeness / 100


class Maker:
    """Tries recipes on one network.

    Parameters
    ----------
    card : ModelCard
    calibration : CalibrationSet
    limits : Limits
    real : path
        The float file.
    progress : Progress
    measure : callable, optional
        Gives the AP of the float network and of a file, for which the gate asks where all else holds.
    """

    def __init__(
        self,
        card: ModelCard,
        calibration: CalibrationSet,
        limits: Limits,
        real: Path,
        progress: Progress,
        measure: Measure | None = None,
    ) -> None:
        self.card, self.calibration, self.limits = card, calibration, limits
        self.real, self.progress, self.measure = real, progress, measure
        self.attempts: list[Attempt] = []
        self.parities: dict[str, list[Parity]] = {}

    def make(self, network: Model, recipes: Sequence[Recipe]) -> Made:
        """Return the first file that the gate accepts; where it accepts none, the one with the least loss.

        A recipe after the first that cannot be carried out, on this network or for want of a package, or that changes
        what the network computes in float, is left out: the gate's word on the others is worth more than no file.
        """
        images = list(self.calibration.inputs(self.card.input))
        quantizer = Quantizer(network, images, input_grid(self.card.input), for_decoder(self.card))
        tried: list[Made] = []
        untried: Untried | None = None
        for recipe in recipes:
            try:
                made = self._try(quantizer, recipe)
            except (RecipeError, ParityError) as err:
                if not tried:
                    raise
                self.progress.say(f"  {recipe.name:<12} left out: {err}")
                continue
            except DependencyError as err:
                if not tried:
                    raise
                before = untried.recipes if untried else ()
                untried = Untried(recipes=(*before, recipe.name), why=err.what, command=err.remedy)
                continue
            if all(check.passed for check in made.checks):
                return made
            tried.append(made)
        return replace(min(tried, key=_loss), attempts=tuple(self.attempts), untried=untried)

    def _compare(self, quantizer: Quantizer, quantized: QuantizedNetwork, recipe: Recipe) -> None:
        """Equalization is exact in float; `ParityError` where it was not."""
        if recipe.equalize and recipe.name not in self.parities:
            image = quantizer.images[0]
            before, after = (run_model(model, image) for model in (quantizer.model, quantized.real))
            self.parities[recipe.name] = compare("float32 -> equalized", before, after, EQUALIZED)

    def _try(self, quantizer: Quantizer, recipe: Recipe) -> Made:
        start = time.monotonic()
        with self.progress.stage(recipe.name) as notes, quiet():
            quantized = quantizer.quantize(recipe)
            self._compare(quantizer, quantized, recipe)
            data = write_model(quantized.model)
            path = self.real.with_name(f"{recipe.name}.tflite")
            path.write_bytes(data)
            notes.append(f"{len(data) / 1e6:.2f} MB")
        with self.progress.stage("gate") as notes, quiet():
            agreement = compare_files(self.real, path, self.card, self.calibration.frames)
            mixed = recipe.slower > 0
            checks = [
                *check_structure(quantized.model, self.card.input, mixed=mixed),
                *check_delegation(interpreter.Model(path, card=self.card).delegation(), quantized.model),
                *check_floats(quantized.model, mixed=mixed),
                *check_agreement(agreement, self.limits),
            ]
            refused = tuple(c.name for c in checks if not c.passed)
            notes.append(f"failed: {', '.join(refused)}" if refused else f"{len(checks)} checks hold")
        evaluations: tuple[Evaluation, ...] = ()
        if not refused and self.measure is not None:
            evaluations = self.measure(path)
            real, int8 = evaluations
            checks += check_ap(real.ap, int8.ap, self.limits)
            refused = tuple(c.name for c in checks if not c.passed)
        self.attempts.append(
            Attempt(
                recipe=recipe.name,
                output_error=agreement.output_error,
                refused=refused,
                seconds=time.monotonic() - start,
            )
        )
        return Made(
            data=data,
            recipe=recipe.name,
            quantized=quantized,
            checks=tuple(checks),
            agreement=agreement,
            attempts=tuple(self.attempts),
            quantizer=quantizer,
            parities=tuple(self.parities.get(recipe.name, ())),
            evaluations=evaluations,
        )
