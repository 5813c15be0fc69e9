"""What two cards of one file disagree about: how the network is fed, and what its outputs are.

A card that an export wrote describes what the export made: a normalisation may have gone into the network, an output
may have been split. The card that the export was given then no longer fits the file, and nothing but the figures shows
it: fed by it, the network finds nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec

CLOSE = 1e-4  # numbers in cards are rounded: 0.0171 for 1 / 58.395


def disagreements(inside: ModelCard, given: ModelCard) -> list[str]:
    """Return what two cards say differently about input and outputs, as ``mean 128, not 127.5``, the first one first.

    Outputs are compared where both cards name them: another cut of a network is another choice, not a contradiction.
    """
    return [*_of_inputs(inside.input, given.input), *_of_outputs(inside, given)]


def _of_inputs(inside: InputSpec, given: InputSpec) -> list[str]:
    found = []
    if inside.size != given.size:
        found.append(f"size {inside.size}, not {given.size}")
    if inside.channels != given.channels:
        found.append(f"channels {inside.channels}, not {given.channels}")
    for what, ours, theirs in (("mean", inside.mean, given.mean), ("scale", inside.scale, given.scale)):
        least = 0.01 if what == "mean" else 0.0  # of 255
        if not all(
            math.isclose(a, b, rel_tol=CLOSE, abs_tol=least) for a, b in zip(ours, theirs, strict=True)
        ):
            found.append(f"{what} {_numbers(ours)}, not {_numbers(theirs)}")
    return found


def _numbers(values: Sequence[float]) -> str:
    shown = [f"{v:.6g}" for v in values]
    return shown[0] if len(set(shown)) == 1 else f"({', '.join(shown)})"


def _of_outputs(inside: ModelCard, given: ModelCard) -> list[str]:
    names = {o.name for o in inside.outputs} & {o.name for o in given.outputs}
    ours, theirs = ({o for o in map(_meaning, card.outputs) if o[0] in names} for card in (inside, given))
    if ours == theirs:
        return []
    return [f"outputs {_listed(ours - theirs)}, not {_listed(theirs - ours)}"]


def _meaning(output: OutputSpec) -> tuple[str, str, int, int, int]:
    return output.name, output.role, output.first, output.channels, output.stride


def _listed(outputs: set[tuple[str, str, int, int, int]]) -> str:
    words = [
        f"{name} ({role}, {channels} channels{f' from {first}' if first else ''}, stride {stride})"
        for name, role, first, channels, stride in sorted(outputs)
    ]
    return ", ".join(words) or "nothing more"
