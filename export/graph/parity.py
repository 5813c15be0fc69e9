"""Compare each step of the conversion with the step before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import ParityError

# Largest difference allowed, relative to the output's largest value. Float32 rounding in another order of summation
# gives 1e-6 to 2e-5 on these networks; rescaled channels (equalization) round once more; a wrong layout gives 1.
TOLERANCE = 1e-4

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The comparison of one output across one step.

    Attributes
    ----------
    step : str
        For example ``torch -> onnx``.
    output : str
    max_error : float
        Largest absolute difference.
    relative_error : float
        `max_error` divided by the largest absolute value of the step before.
    tolerance : float
        Largest `relative_error` allowed.
    """

    step: str
    output: str
    max_error: float
    relative_error: float
    tolerance: float


def compare(step: str, before: Outputs, after: Outputs, tolerance: float = TOLERANCE) -> list[Parity]:
    """Compare named outputs.

    Raises
    ------
    ParityError
        Names or shapes differ, values are not finite, or the relative error exceeds the tolerance.
    """
    if sorted(before) != sorted(after):
        raise ParityError(f"{step}: outputs {sorted(after)}, expected {sorted(before)}")
    results = []
    for name in sorted(before):
        a, b = before[name], after[name]
        if a.shape != b.shape:
            raise ParityError(f"{step}: {name} has shape {b.shape}, expected {a.shape}")
        if not np.isfinite(a).all():
            raise ParityError(
                f"{step}: {name} is not finite before this step; the weights overflow or hold NaN"
            )
        error = float(np.abs(a - b).max())
        relative = error / max(float(np.abs(a).max()), 1e-12)
        if not relative <= tolerance:  # also catches NaN
            raise ParityError(
                f"{step}: {name} differs by {error:.3g} ({relative:.3g} of its largest value, allowed {tolerance:g}); "
                "this is a fault of the conversion: please report it with the command line and the weights' source"
            )
        results.append(
            Parity(step=step, output=name, max_error=error, relative_error=relative, tolerance=tolerance)
        )
    return results
