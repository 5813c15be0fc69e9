"""What a reader wants to know first: the verdict in words, what was not measured, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.report.outcome import Outcome
from quant.judge.gate import LIKENESS, STRICT_LIKENESS
from rpi_runtime.installing import python_here

_NOISE = (
    "calibrate on more pictures, and such as the camera will see (--calibration FOLDER --calibration-images 128); "
    "take a larger --size; or --float16, a larger file that runs more slowly on a Pi"
)
_NETWORK = (
    "replace these operations in the network; where they decode, let the outputs of the card lie before them; or take "
    "--float16"
)
_OURS = "this is a fault of pipose: report it with the .report.json; --float16 until then"
FINDER = Path("FINDER.tflite")  # stands for a network that the user has
# With --recipe w8c_a8_eq, lw-openpose at 160x120 has an AP of 7.4 where 1 picture of train2017 calibrates it, 11.9
# with 4, 12.7 with 8 and 12.4 with 32. The gate, which sees those pictures alone, accepts the first two files and
# refuses the others (python -m quant.evaluate, the 93 pictures of train2017 that calibrate none, AVX-512 VNNI,
# 2026-12-01).
FEW_PICTURES = 8
# By the name of a check of `quant.judge.gate`.
REMEDIES = {
    "tensors that are not integer": _OURS,
    "converting operations": _OURS,
    "int8 tensors without one sound scale": "calibrate on pictures of people, not on black or equal ones",
    "weights without a scale per channel": _OURS,
    "input is pixel ^ 0x80": "calibrate on pictures that span black to white, or correct mean and scale in the card",
    "computed in float": _NETWORK,
    "XNNPACK partitions": _NETWORK,
    "operations that fall back from XNNPACK": _NETWORK,
    "peaks compared": (
        "the float network finds no keypoint on the calibration pictures: give pictures of people, trained weights, or "
        "a lower peak_threshold in the card"
    ),
    "output error": _NOISE,
    "heatmap rmse": _NOISE,
    "PAF relative L2": _NOISE,
    "lost peaks": _NOISE,
    "lost people and keypoints": _NOISE,
    "shift of people and keypoints": _NOISE,
    LIKENESS: _NOISE,
    STRICT_LIKENESS: _NOISE,
    "AP drop": f"without --recipe the export goes on to further recipes; {_NOISE}; or accept it with --max-ap-drop",
}
# operations that INT8 lacks leave tensors in float and conversions round them
CAUSES = frozenset(("computed in float", "operations that fall back from XNNPACK"))
FOLLOWING = ("tensors that are not integer", "converting operations")


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """Something to do next: why, and the command where it is one."""

    text: str
    command: str = ""


def kind_of(outcome: Outcome) -> str:
    """Return what a reader calls the file's numbers: INT8, float16 or float32."""
    kinds = {"w8": "INT8", "w16": "float16", "w32": "float32"}
    weights = outcome.card.recipe.split("_")[0].rstrip("c")
    return kinds.get(weights, outcome.card.recipe)


def verdict(outcome: Outcome) -> str:
    """Return one or two sentences on what the file is good for."""
    kind = kind_of(outcome)
    if not outcome.passed:
        failed = ", ".join(c.name for c in outcome.checks if not c.passed)
        return f"Refused: this file may not be called {kind}. It fails: {failed}."
    if not outcome.checks:
        return (
            f"The file computes in {kind}, within the tolerance of each step. A Raspberry Pi runs INT8 several times "
            "faster: export it with --int8."
        )
    found = "Fully INT8, ready for a Raspberry Pi."
    if round(outcome.in_float, 2) > 0:
        share = f"{outcome.in_float:.0%} of the predicted time"
        found = f"INT8 but for {share}, which float takes; ready for a Raspberry Pi."
    if outcome.agreement is not None and outcome.agreement.peaks > 0:
        a = outcome.agreement
        what = "boxes" if a.likeness is not None and a.likeness_of == "boxes" else "keypoints"
        found += f" On the calibration pictures it keeps {1 - a.lost:.0%} of the {what} that the float network finds"
        found += f", {a.shift_px:.1f} pixels away on average."
    return found


def doubts(outcome: Outcome) -> list[str]:
    """Return why a file may be of no use although no check failed, each with what to do about it."""
    found = []
    card = "see whether mean, scale, channels and thresholds of the card are those of the network"
    pictures = outcome.card.provenance.calibration_images
    if outcome.evaluations and outcome.evaluations[0].ap == 0:
        found.append(f"the float network's AP is 0, so nothing was measured that could be lost: {card}")
    elif outcome.agreement is not None and outcome.agreement.peaks == 0:
        found.append(
            "the float network finds nobody on the calibration pictures, so its bare outputs were compared: "
            f"{card}, and whether there are people on the pictures"
        )
    elif 0 < pictures < FEW_PICTURES and not outcome.evaluations:
        found.append(
            f"calibrated on {pictures} picture{'s' * (pictures > 1)}, and compared on no others, which hides what is "
            f"lost elsewhere: give --calibration {FEW_PICTURES} or more, or --coco to measure it"
        )
    return found


def remedies(outcome: Outcome) -> list[str]:
    """Return what to do about each failed check, as ``CHECK: REMEDY``; checks with one remedy on one line.

    What concerns all of them comes first: recipes that could not be tried, whole pictures in the place of crops.
    """
    by_remedy: dict[str, list[str]] = {}
    failed = [check.name for check in outcome.checks if not check.passed]
    for name in failed:
        follows = name in FOLLOWING and not CAUSES.isdisjoint(failed)
        by_remedy.setdefault(_NETWORK if follows else REMEDIES.get(name, _OURS), []).append(name)
    found = [f"{', '.join(names)}: {remedy}" for remedy, names in by_remedy.items()]
    if found and outcome.taken_for_crops:
        count = f"{outcome.taken_for_crops} of {outcome.card.provenance.calibration_images}"
        found.insert(
            0,
            f"{count} calibration pictures were taken for crops of one person; where they show more, leave "
            "--calibration out, or give a folder in COCO's layout, whose annotations say where people are",
        )
    return [outcome.untried.advice, *found] if outcome.untried else found


def next_steps(outcome: Outcome, finder: Path = FINDER) -> list[NextStep]:
    """Return what to do with a file that passed: look at it, measure what was not, take it to the Pi.

    A network that sees crops needs another one that finds people: `finder`, where it was exported with it.
    """
    files = [finder, outcome.path] if outcome.card.sees_crops else [outcome.path]
    here = _options([str(file) for file in files])
    steps = [
        NextStep(
            text="Look at it on a picture of yours:",
            command=f"{python_here()} -m rpi_runtime show {here} PICTURE.jpg",
        )
    ]
    if not outcome.evaluations:
        steps.append(
            NextStep(
                text="AP was not measured. With COCO's val2017 in COCO_DIR:",
                command=f"{python_here()} -m quant.evaluate {here} --coco COCO_DIR",
            )
        )
    if kind_of(outcome) == "INT8":
        steps += _to_the_pi(files)
    return steps


def _options(files: Sequence[str]) -> str:
    options = ("--model", "--refine")
    return " ".join(f"{option} {shlex.quote(file)}" for option, file in zip(options, files, strict=False))


def _to_the_pi(files: Sequence[Path]) -> list[NextStep]:
    there = _options([file.name for file in files])
    return [
        NextStep(
            text="To the Pi, where pipose is installed as the README says:",
            command=f"scp {' '.join(shlex.quote(str(file)) for file in files)} pi@raspberrypi:",
        ),
        NextStep(text="There:", command=f"pose/bin/python -m rpi_runtime doctor {there}"),
        NextStep(text="", command=f"pose/bin/python -m rpi_runtime run {there}"),
    ]


def closing_lines(outcomes: Sequence[Outcome], pages: Sequence[Path]) -> list[str]:
    """Return what an export prints at its end, one step a line.

    For several files these are the steps of the last one that passed; a finder of people among the others goes with it
    if it sees crops.
    """
    lines = []
    for outcome, page in zip(outcomes, pages, strict=True):
        lines += [f"{outcome.path.name}: {verdict(outcome)}", f"The report: {page}"]
        lines += [f"Beware: {doubt}" for doubt in doubts(outcome)]
        lines += [f"    {remedy}" for remedy in remedies(outcome)]
    passed = [o for o in outcomes if o.passed]
    finder = next((o.path for o in passed if not o.card.sees_crops), FINDER)
    for step in next_steps(passed[-1], finder) if passed else []:
        lines += [step.text] * bool(step.text) + [f"    {step.command}"] * bool(step.command)
    return lines
