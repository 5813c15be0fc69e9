"""What a file must satisfy before it is called INT8; what fails is named with its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from quant.cost import share_of_time
from quant.floats import CONVERSIONS, LARGEST_SHARE, Island, find_islands, share_in_float
from quant.judge.metrics import Agreement
from quant.tflite.records import Model, Operator, Tensor
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.delegation import Delegation

# Operations that convert between number formats at run time: each costs a pass over a tensor.
FORBIDDEN = ("QUANTIZE", "DEQUANTIZE", "CAST")
# Constant tensors that steer an operation (paddings, shapes, axes) are integers by TFLite's definition.
CONTROL_TYPES = ("int32", "int64")
# What XNNPACK computes in INT8. Sources: README of TensorFlow Lite's XNNPACK delegate, quantized operators; from
# BATCH_MATMUL on what LiteRT 2.1 takes beside.
XNNPACK_INT8 = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "ADD", "SUB", "MUL", "CONCATENATION", "RESIZE_BILINEAR",
    "LOGISTIC", "TANH", "ELU", "LEAKY_RELU", "MEAN", "PAD", "SLICE", "SPLIT", "MAX_POOL_2D", "FULLY_CONNECTED",
    "BATCH_MATMUL", "DEPTH_TO_SPACE", "REDUCE_MAX", "RESHAPE", "SPACE_TO_DEPTH", "STRIDED_SLICE", "SUM", "TRANSPOSE",
)  # fmt: skip
CONVOLUTIONS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 3,
    "TRANSPOSE_CONV": 0,
}  # axis of output channels in the weights


LIKENESS = "AP where the float network's people are the truth"
STRICT_LIKENESS = f"{LIKENESS}, at similarities of 0.80 to 0.98"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest loss allowed, measured on the calibration images, and of AP with evaluation images.

    The first three are the bar of this project's measurements: exact equalization stays well below, a plain
    conversion far above. The likenesses, `output_error` and `part_shift`, which is over a person's size, are of
    networks without maps, and the likeness of crops is of those with maps, too. The likenesses divide what was
    measured in `quant/docs/quantization.md`: files above them lose 0.3 to 1.8 AP on val2017, files below them 0.3 to
    29.
    """

    heatmap_rmse: float = 0.008
    pose_likeness: float = 96.8
    strict_pose_likeness: float = 87.5
    crop_likeness: float = 81.0
    crop_map_likeness: float = 90.0
    box_likeness: float = 88.5
    paf_relative_l2: float = 0.10
    lost_peaks: float = 0.07
    part_shift: float = 0.02
    output_error: float = 0.10
    ap_drop: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One requirement: what was found, what is allowed, whether it holds."""

    name: str
    found: str
    allowed: str
    passed: bool


def check_structure(model: Model, spec: InputSpec, *, mixed: bool = False) -> list[Check]:
    """Check every tensor's type, the operations, all scales, the input's scale and the weights' granularity.

    With `mixed`, layers that have an INT8 kernel may be in float all the same: the recipe left them there.
    """
    tensors = model.tensors()
    islands = [island for island in find_islands(model) if mixed or island.kind != "layers"]
    real = {t for island in islands for t in island.tensors}
    outputs = [t for t in model.outputs.values() if t.dtype == np.float32]
    # outputs are of one type: where one ends in float, the others are converted
    if mixed or not real.isdisjoint(outputs):
        real.update(outputs)
    wrong = [t.name for t in tensors if not (t in real or _type_fits(t))]
    forbidden = sorted({op.name for op in model.operators if _converts(op) and not _borders(op, real)})
    broken = [t.name for t in tensors if t.dtype == np.int8 and not _scales_fit(t)]
    coarse = [name for op in model.operators for name in _coarse(op)]
    (entry,) = model.inputs.values()
    return [
        _none("tensors that are not integer", wrong),
        _none("converting operations", forbidden),
        _none("int8 tensors without one sound scale", broken),
        _none("weights without a scale per channel", coarse),
        _input_check(entry, spec),
    ]


def _converts(op: Operator) -> bool:
    """Whether an operation converts between formats; another scale in INT8 is arithmetic like others."""
    (first, *_), result = op.inputs, op.outputs[0]
    return op.name in FORBIDDEN and not (
        op.name in CONVERSIONS and first is not None and first.dtype == result.dtype
    )


def _borders(op: Operator, real: AbstractSet[Tensor]) -> bool:
    """Whether an operation converts to or from an island of float."""
    return op.name in CONVERSIONS and not real.isdisjoint([*op.inputs, *op.outputs])


def _type_fits(tensor: Tensor) -> bool:
    if tensor.dtype == np.int8:
        return True
    return tensor.data is not None and tensor.dtype.name in CONTROL_TYPES


def _scales_fit(tensor: Tensor) -> bool:
    """Whether scales are positive numbers: one for an activation, one or more for weights."""
    if tensor.quantization is None:
        return False
    scales = tensor.quantization.scales
    return (tensor.data is not None or len(scales) == 1) and bool((np.isfinite(scales) & (scales > 0)).all())


def _coarse(op: Operator) -> list[str]:
    """The weights of a convolution that lack a scale for each output channel."""
    if op.name not in CONVOLUTIONS:
        return []
    weights = op.inputs[1]
    assert weights is not None
    count = 0 if weights.quantization is None else len(weights.quantization.scales)
    if weights.dtype != np.int8 or count == weights.shape[CONVOLUTIONS[op.name]]:
        return []
    return [weights.name]


def _input_check(entry: Tensor, spec: InputSpec) -> Check:
    scale, zero = (
        (0.0, 0) if entry.quantization is None else (entry.quantization.scale, entry.quantization.zero_point)
    )
    want_scale, want_zero = spec.scale[0], round(spec.mean[0]) - 128
    passed = math.isclose(scale, want_scale, rel_tol=1e-3) and zero == want_zero and entry.dtype == np.int8
    return Check(
        name="input is pixel ^ 0x80",
        found=f"{entry.dtype.name.upper()} scale {scale:.6g} zero point {zero}",
        allowed=f"INT8 scale {want_scale:.6g} zero point {want_zero}",
        passed=passed,
    )


def check_floats(model: Model, *, mixed: bool = False) -> list[Check]:
    """Name what a file computes in float, and its part of the time; empty for a file that computes nothing so.

    Tables and chains (`quant.floats`) are allowed: the one are exact to a step of INT8, the other more exact than it.
    With `mixed`, layers are, too. Chains and layers may take no more than `LARGEST_SHARE` of the predicted time, which
    is the same on every machine; the time measured on this one is shown.
    """
    islands = find_islands(model)
    if not islands:
        return []
    tensors = {t for island in islands for t in island.tensors}
    chosen = {op for op in model.operators if not tensors.isdisjoint(op.outputs) or _borders(op, tensors)}
    allowed = "chains and layers" if mixed else "chains"
    sound = mixed or all(island.kind != "layers" for island in islands)
    return [
        Check(
            name="computed in float",
            found=f"{_listed(islands)}; {share_of_time(model, chosen):.1%} of the time here",
            allowed=f"tables; {allowed} of at most {LARGEST_SHARE:.0%} of the predicted time",
            passed=sound and share_in_float(islands) <= LARGEST_SHARE,
        )
    ]


def _listed(islands: list[Island]) -> str:
    """``20 tables of HARD_SWISH, 16 chains of EXP, DIV, ... (2.1% of the time predicted on a Raspberry Pi 4)``."""
    tables = Counter(", ".join(i.operations) for i in islands if i.kind == "table")
    parts = [f"{count} table{'s' * (count > 1)} of {name}" for name, count in sorted(tables.items())]
    for kind, one, many in (("chain", "chain", "chains"), ("layers", "group of layers", "groups of layers")):
        found = [i for i in islands if i.kind == kind]
        if found:
            names = sorted({name for i in found for name in i.operations})
            parts.append(
                f"{len(found)} {one if len(found) == 1 else many} of {', '.join(names)} "
                f"({share_in_float(found):.1%} of the time predicted on a Raspberry Pi 4)"
            )
    return ", ".join(parts)


def check_delegation(delegation: Delegation, model: Model | None = None) -> list[Check]:
    """Check that XNNPACK takes the whole graph as one partition; with the network, what falls back is timed."""
    names = set(delegation.fell_back)
    cost = ""
    if names and model is not None:
        share = share_of_time(model, {op for op in model.operators if op.name in names})
        cost = f"; {share:.0%} of the time"
    fallen = _none("operations that fall back from XNNPACK", map(_why, sorted(names)))
    return [
        Check(
            name="XNNPACK partitions",
            found=str(delegation.partitions),
            allowed="1",
            passed=delegation.partitions == 1,
        ),
        replace(fallen, found=fallen.found + cost),
    ]


def _why(operation: str) -> str:
    if operation in XNNPACK_INT8:
        return f"{operation} (XNNPACK has it in INT8, but not with these types, shapes or scales)"
    return f"{operation} (no INT8 kernel in XNNPACK)"


def check_agreement(agreement: Agreement, limits: Limits) -> list[Check]:
    """Check the outputs against those of the float file; without a single peak, figures of maps say nothing.

    The heatmaps' error is allowed in proportion to the height that the network's own peaks reach. Networks without
    heatmaps (boxes, SimCC) hold where the people do that they decode to.
    """
    if agreement.peak_height == 0:
        return _people_checks(agreement, limits)
    checks = [
        Check(
            name="peaks compared",
            found=str(agreement.peaks),
            allowed=">= 1",
            passed=agreement.peaks >= 1,
        ),
        _at_most(
            "heatmap rmse", agreement.heatmap_rmse, limits.heatmap_rmse * min(agreement.peak_height, 1.0)
        ),
        _at_most("PAF relative L2", agreement.paf_relative_l2, limits.paf_relative_l2),
        _at_most("lost peaks", agreement.lost, limits.lost_peaks),
    ]
    return [*checks, *_likenesses(agreement, limits)]


def _people_checks(agreement: Agreement, limits: Limits) -> list[Check]:
    """Checks of a network without heatmaps: of its people, or without a person of its outputs."""
    if agreement.peaks == 0:
        return [_at_most("output error", agreement.output_error, limits.output_error)]
    checks = [_at_most("lost people and keypoints", agreement.lost, limits.lost_peaks)]
    if agreement.likeness is None:
        return [*checks, _at_most("shift of people and keypoints", agreement.part_shift, limits.part_shift)]
    return [*checks, *_likenesses(agreement, limits)]


def _likenesses(agreement: Agreement, limits: Limits) -> list[Check]:
    """Checks of the average precision that INT8 has where the float network's people are the truth."""
    least = {
        "poses": limits.pose_likeness,
        "crops": limits.crop_likeness,
        "crop maps": limits.crop_map_likeness,
        "boxes": limits.box_likeness,
    }[agreement.likeness_of]
    found = [
        (LIKENESS, agreement.likeness, least),
        (STRICT_LIKENESS, agreement.strict_likeness, limits.strict_pose_likeness),
    ]
    return [_at_least(name, value, limit) for name, value, limit in found if value is not None]


def check_ap(real: float, quantized: float, limits: Limits) -> list[Check]:
    """Check AP (percent) against that of the float file.

    Raises
    ------
    InputError
        The AP is -1, pycocotools' figure for pictures without a person to find.
    """
    if real < 0 or quantized < 0:
        raise InputError(
            "the evaluation pictures hold no labelled people, so there is no AP to compare; "
            "give --coco and --split annotations of people with keypoints"
        )
    return [_at_most("AP drop", real - quantized, limits.ap_drop)]


def _none(name: str, found: Iterable[str]) -> Check:
    names = list(found)
    shown = ", ".join(n.split(";")[0] for n in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )
    return Check(name=name, found=shown or "none", allowed="none", passed=not names)


def _at_least(name: str, value: float, limit: float) -> Check:
    return Check(name=name, found=f"{value:.4g}", allowed=f">= {limit:g}", passed=value >= limit)


def _at_most(name: str, value: float, limit: float) -> Check:
    return Check(name=name, found=f"{value:.4g}", allowed=f"<= {limit:g}", passed=value <= limit)
