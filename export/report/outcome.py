"""The records of one export: the findings of each step, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.graph.parity import Parity
from export.report.pictures import PosePicture
from quant.accuracy.evaluation import Evaluation
from quant.judge.gate import Check
from quant.judge.metrics import Agreement
from quant.layers import LayerNoise
from quant.progress import Stage
from quant.quantize.equalize import Outlier
from rpi_runtime.model.card import ModelCard

Layers = Mapping[str, tuple[LayerNoise, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One recipe that an export tried.

    Attributes
    ----------
    recipe : str
    output_error : float
        Largest error of an output relative to its root mean square, over the calibration images.
    refused : tuple of str
        Names of the checks that failed.
    seconds : float
        That the attempt and its checks took.
    """

    recipe: str
    output_error: float
    refused: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Untried:
    """Recipes that might repair a refused file and could not be tried, because a package is missing.

    Attributes
    ----------
    recipes : tuple of str
        In the order in which they would be tried.
    why : str
        What they need, as in ``this needs torch, which is not installed``.
    command : str
        What installs it.
    """

    recipes: tuple[str, ...]
    why: str
    command: str

    @property
    def advice(self) -> str:
        """What to do, as one sentence that ends in the command."""
        count = len(self.recipes)
        more = "1 more recipe" if count == 1 else f"{count} more recipes"
        return f"{more} could be tried; {self.why}; run: {self.command}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The result of one export, for the summary and the report.

    Attributes
    ----------
    path : path
        The file; ends in ``.rejected`` when a check failed.
    content : bytes
        Path of the file, which is written together with its reports.
    card : ModelCard
    stages : tuple of Stage
    parities : tuple of Parity
    checks : tuple of Check
    operations : dict of str to int
    in_float : float
        Part of the time predicted for a Raspberry Pi 4 that an INT8 file computes in float (`quant.floats`).
    outliers : tuple of Outlier
    layers : dict of str to tuple of LayerNoise
        By recipe: this file's, and those of a plain conversion, for comparison.
    agreement : Agreement or None
    attempts : tuple of Attempt
        What was tried for the INT8 file, in order; the last one is the file.
    untried : Untried or None
        What could not be tried, where the gate accepted none of the attempts.
    taken_for_crops : int
        Of a network of crops, the calibration pictures of which nobody was cut out, as nothing says where people are.
    evaluations : tuple of Evaluation
        The float file's and this file's.
    pictures : tuple of PosePicture
        Poses of the float file and of this one.

    Examples
    --------
    >>> from export import ExportRequest, export_files
    >>> outcome = export_files(ExportRequest(model="lw-openpose", sizes=((64, 48),)))[0]
    >>> outcome.card.input.size
    '64x48'
    """

    path: Path
    content: bytes
    card: ModelCard
    stages: tuple[Stage, ...]
    parities: tuple[Parity, ...]
    checks: tuple[Check, ...]
    operations: dict[str, int]
    in_float: float = 0.0
    outliers: tuple[Outlier, ...] = ()
    layers: Layers
    agreement: Agreement | None = None
    attempts: tuple[Attempt, ...] = ()
    untried: Untried | None = None
    taken_for_crops: int = 0
    evaluations: tuple[Evaluation, ...] = ()
    pictures: tuple[PosePicture, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(c.passed for c in self.checks)
