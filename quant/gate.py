"""The checks that a file must pass before it is called INT8. A failed check reports its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from quant.cost import share_of_time
from quant.flatbuffer import Operation, Tensor, TFLiteFile
from quant.floats import CONVERSIONS, LARGEST_SHARE, Island, find_islands
from quant.metrics import Agreement
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.delegation import Delegation

# Operations that convert between number formats or layouts at run time: each costs a pass over a tensor.
FORBIDDEN = ("QUANTIZE", "DEQUANTIZE", "TRANSPOSE", "CAST")
# Constant tensors that steer an operation (paddings, shapes, axes) are integers by TFLite's definition.
CONTROL_TYPES = ("INT32", "INT64")
# Operations that XNNPACK computes in INT8. Sources: README of TensorFlow Lite's XNNPACK delegate, quantized operators;
# from BATCH_MATMUL on, what LiteRT 2.1 supports in addition.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest losses allowed, measured on the calibration images; that of AP on evaluation images.

    The first three come from this project's measurements: exact equalization stays well below them, and a plain
    conversion is far above.
    """

    heatmap_rmse: float = 0.008
    paf_relative_l2: float = 0.10
    lost_peaks: float = 0.07
    ap_drop: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: the value found, the value allowed, and whether it passed."""

    name: str
    found: str
    allowed: str
    passed: bool


def check_structure(data: bytes, spec: InputSpec) -> list[Check]:
    """Check every tensor's type, the operations, all scales, the input's scale and the weights' granularity."""
    file = TFLiteFile(data)
    tensors, operations = file.tensors, file.operations
    constant = {i for i in range(len(tensors)) if file.constant(i) is not None}
    real = {i for island in find_islands(data) if island.allowed for i in island.tensors}
    wrong = [t.name for i, t in enumerate(tensors) if not (i in real or _type_fits(t, i in constant))]
    forbidden = sorted({op.name for op in operations if op.name in FORBIDDEN and not _borders(op, real)})
    broken = [t.name for i, t in enumerate(tensors) if t.type == "INT8" and not _scales_fit(t, i in constant)]
    coarse = [tensors[op.inputs[1]].name for op in operations if _is_coarse(op, tensors)]
    (entry,) = (tensors[int(i)] for i in file.graph.inputs)
    return [
        _none("tensors that are not integer", wrong),
        _none("converting operations", forbidden),
        _none("int8 tensors without one sound scale", broken),
        _none("weights without a scale per channel", coarse),
        _input_check(entry, spec),
    ]


def _borders(op: Operation, real: set[int]) -> bool:
    """Whether an operation converts to or from an island of float."""
    return op.name in CONVERSIONS and bool(real.intersection((*op.inputs, *op.outputs)))


def _type_fits(tensor: Tensor, constant: bool) -> bool:
    if tensor.type == "INT8":
        return True
    return constant and tensor.type in CONTROL_TYPES


def _scales_fit(tensor: Tensor, constant: bool) -> bool:
    """Whether scales are positive numbers: one for an activation, one or more for weights."""
    count = len(tensor.scales)
    return (count >= 1 if constant else count == 1) and all(math.isfinite(s) and s > 0 for s in tensor.scales)


def _is_coarse(op: Operation, tensors: list[Tensor]) -> bool:
    if op.name not in CONVOLUTIONS:
        return False
    weights = tensors[op.inputs[1]]
    return len(weights.scales) != weights.shape[CONVOLUTIONS[op.name]]


def _input_check(entry: Tensor, spec: InputSpec) -> Check:
    scale, zero = (entry.scales or (0.0,))[0], (entry.zero_points or (0,))[0]
    want_scale, want_zero = spec.scale[0], round(spec.mean[0]) - 128
    passed = math.isclose(scale, want_scale, rel_tol=1e-3) and zero == want_zero and entry.type == "INT8"
    return Check(
        name="input is pixel ^ 0x80",
        found=f"{entry.type} scale {scale:.6g} zero point {zero}",
        allowed=f"INT8 scale {want_scale:.6g} zero point {want_zero}",
        passed=passed,
    )


def check_floats(data: bytes) -> list[Check]:
    """Name a file's islands of float, with their part of the time; empty for a file without islands.

    Tables and chains (`quant.floats`) are allowed: tables are exact to one step of INT8, and chains are more exact.
    """
    islands = find_islands(data)
    if not islands:
        return []
    tensors = {t for island in islands for t in island.tensors}
    operations = TFLiteFile(data).operations
    chosen = {
        i for i, op in enumerate(operations) if tensors.intersection(op.outputs) or _borders(op, tensors)
    }
    return [
        Check(
            name="computed in float",
            found=f"{_listed(islands)}; {share_of_time(data, chosen):.1%} of the time",
            allowed=f"tables; chains of at most {LARGEST_SHARE:.0%} of all values each",
            passed=all(island.allowed for island in islands),
        )
    ]


def _listed(islands: list[Island]) -> str:
    """``20 tables of HARD_SWISH, 16 chains of EXP, DIV, ... (2.1% of all values)``."""
    tables = Counter(i.operations[0] for i in islands if i.kind == "table")
    parts = [f"{count} table{'s' * (count > 1)} of {name}" for name, count in sorted(tables.items())]
    chains = [i for i in islands if i.kind == "chain"]
    if chains:
        names = sorted({name for i in chains for name in i.operations})
        share = sum(i.share for i in chains)
        parts.append(
            f"{len(chains)} chain{'s' * (len(chains) > 1)} of {', '.join(names)} ({share:.1%} of all values)"
        )
    return ", ".join(parts)


def check_delegation(delegation: Delegation, data: bytes | None = None) -> list[Check]:
    """Check that XNNPACK takes the whole graph as one partition. With the file, operations that fall back are timed."""
    names = set(delegation.fell_back)
    cost = ""
    if names and data is not None:
        operations = TFLiteFile(data).operations
        share = share_of_time(data, {i for i, op in enumerate(operations) if op.name in names})
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
    """Check the maps against those of the float file. Without any peak, their figures mean nothing."""
    return [
        Check(
            name="peaks compared",
            found=str(agreement.peaks),
            allowed=">= 1",
            passed=agreement.peaks >= 1,
        ),
        _at_most("heatmap rmse", agreement.heatmap_rmse, limits.heatmap_rmse),
        _at_most("PAF relative L2", agreement.paf_relative_l2, limits.paf_relative_l2),
        _at_most("lost peaks", agreement.lost, limits.lost_peaks),
    ]


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
            "give --evaluate and --split annotations of people with keypoints"
        )
    return [_at_most("AP drop", real - quantized, limits.ap_drop)]


def _none(name: str, found: Iterable[str]) -> Check:
    names = list(found)
    shown = ", ".join(n.split(";")[0] for n in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )
    return Check(name=name, found=shown or "none", allowed="none", passed=not names)


def _at_most(name: str, value: float, limit: float) -> Check:
    return Check(name=name, found=f"{value:.4g}", allowed=f"<= {limit:g}", passed=value <= limit)
