"""The NumPy oracle of the grouping kernels: the definition of what they must return, bit for bit.

Two procedures share limbs and assembly. The exact one is that of Lightweight OpenPose (Osokin 2018,
arXiv:1811.12004, and its published code): maps upsampled by OpenCV's bicubic interpolation, integer peaks,
limbs sampled on integer pixels. The fast one takes maxima of the map itself, refines them by parabolas
through the logarithms (exact for a Gaussian) and samples limbs bilinearly between cells.

What is not finite is no peak and no limb, so that every number that comes out is finite; this alone goes
beyond the original. All map arithmetic is float32 without fused multiply-add, in the order written here; the
kernels are compiled so that they keep it. Logarithm and power are polynomials of our own, so that no C library
takes part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import (
    EXACT_RADIUS,
    POINTS_PER_LIMB,
    Floats,
    LimbRules,
    PeakRules,
    Peaks,
    People,
    Stored,
    check_maps,
    dequantization_table,
)
from cython_ext.tables import cubic_weights, exp2

Field = tuple[Floats, Floats]  # the two channels of a limb, x and y
Connection = tuple[int, int, float]  # peak of type a, peak of type b, limb score

# 2 / ln 2 times the series of atanh, and (2 ** x - 1) / x on 0..1 interpolated at Chebyshev nodes.
LOG2_SERIES = np.array([2.8853900817779268, 0.9617966939259756, 0.5770780163555854, 0.4121985831111324])
SQRT_HALF_BITS = 0x3F3504F3


def dequantize(stored: Stored, scale: float, zero_point: int) -> Floats:
    """Return float32 maps; `scale` 0 marks maps that are float already."""
    if stored.dtype == np.float32:
        return np.asarray(stored, np.float32)
    real: Floats = dequantization_table(scale, zero_point)[stored.astype(np.intp) + 128]
    return real


def find_peaks(maps: Stored, rules: PeakRules, scale: float = 0.0, zero_point: int = 0) -> Peaks:
    """Find keypoints in heatmaps (H, W, C), as `cython_ext.heatmaps.PeakFinder` does."""
    check_maps(maps, rules.keypoints, scale, zero_point)
    real = dequantize(maps, scale, zero_point)
    return peaks_of(upsample(real, rules.upsample) if rules.upsample else real, rules)


def peaks_of(real: Floats, rules: PeakRules) -> Peaks:
    """Find keypoints in real maps; they are upsampled already, if the rules say so."""
    find = _exact_peaks if rules.upsample else _fast_peaks
    tables = [find(real[..., k], rules) for k in range(rules.keypoints)]
    starts = np.cumsum([0] + [len(t) for t in tables]).astype(np.int32)
    return Peaks(table=np.concatenate(tables), starts=starts)


def group(
    peaks: Peaks,
    pafs: Stored,
    rules: LimbRules,
    scale: float = 0.0,
    zero_point: int = 0,
    upsample_by: int = 0,
) -> People:
    """Join peaks into people along PAFs (H, W, C), as `cython_ext.paf.Grouper` does."""
    check_maps(pafs, max(max(limb[2:4]) for limb in rules.limbs) + 1, scale, zero_point)
    fields = dequantize(pafs, scale, zero_point)
    if upsample_by:
        return people_of(peaks, upsample(fields, upsample_by), rules, bilinear=False)
    return people_of(peaks, fields, rules, bilinear=True)


def people_of(peaks: Peaks, fields: Floats, rules: LimbRules, *, bilinear: bool) -> People:
    """Join peaks along real fields of the peaks' own resolution, sampled between pixels or at the nearest."""
    entries: list[_Entry] = []
    for a, b, x, y, fill_only in rules.limbs:
        found = _connect(peaks, (a, b), (fields[..., x], fields[..., y]), rules, bilinear)
        if fill_only:
            _fill(entries, (a, b), found, rules.merge)
        else:
            _extend(entries, (a, b), found, peaks)
    return _select(entries, len(peaks.starts) - 1, rules)


def upsample(maps: Floats, factor: int) -> Floats:
    """Enlarge maps (H, W, C) by bicubic interpolation, bit for bit as OpenCV's INTER_CUBIC does on x86.

    a = -0.75, half-pixel centres, replicated border; rows first, left to right, then columns, bottom to top.
    For factors 4 and 8 the weights are exact in float32. (Rows of a length that is no multiple of 4, which no
    upsampled map of 4 or 8 has, OpenCV sums in another order.)
    """
    rows, row_weights = _cubic_taps(maps.shape[0], factor)
    columns, column_weights = _cubic_taps(maps.shape[1], factor)
    wide = maps[:, columns[0]] * column_weights[0][:, None]
    for j in (1, 2, 3):
        wide = wide + maps[:, columns[j]] * column_weights[j][:, None]
    high = wide[rows[3]] * row_weights[3][:, None, None]
    for j in (2, 1, 0):
        high = wide[rows[j]] * row_weights[j][:, None, None] + high
    return np.asarray(high, np.float32)


def _cubic_taps(size: int, factor: int) -> tuple[NDArray[np.intp], Floats]:
    """For each new position four source positions and their weights, both (4, size * factor)."""
    first = np.floor((np.arange(size * factor) + 0.5) / factor - 0.5).astype(np.intp)
    positions = np.clip(first + np.arange(-1, 3)[:, None], 0, size - 1)
    return positions, np.asarray(np.tile(cubic_weights(factor), (size, 1)).T)


def _exact_peaks(heatmap: Floats, rules: PeakRules) -> Floats:
    """Peaks of one upsampled map as (N, 3): above 4 neighbours, by x then y, suppressed by position."""
    padded = np.pad(np.where(heatmap < np.float32(rules.peak_threshold), np.float32(0), heatmap), 1)
    centre = padded[1:-1, 1:-1]
    peak = (centre > padded[1:-1, :-2]) & (centre > padded[1:-1, 2:]) & (centre < np.inf)
    rows, columns = np.nonzero(peak & (centre > padded[:-2, 1:-1]) & (centre > padded[2:, 1:-1]))
    order = np.argsort(columns, kind="stable")
    rows, columns = rows[order], columns[order]
    points = np.stack([columns, rows], axis=1)
    kept = _suppress(points, np.float32(EXACT_RADIUS))
    table = np.empty((len(kept), 3), np.float32)
    table[:, :2] = points[kept]
    table[:, 2] = centre[rows[kept], columns[kept]]
    return table


def _fast_peaks(heatmap: Floats, rules: PeakRules) -> Floats:
    """Sub-pixel peaks of one map as (N, 3).

    A candidate is above its left and upper neighbour and not below its right and lower neighbour: a plateau
    has its peak at its top left cell. Cells outside the map are below everything.
    """
    padded = np.pad(heatmap, 1, constant_values=-np.inf)
    centre = padded[1:-1, 1:-1]
    first = (centre > padded[1:-1, :-2]) & (centre > padded[:-2, 1:-1])
    last = (centre >= padded[1:-1, 2:]) & (centre >= padded[2:, 1:-1])
    rows, columns = np.nonzero(first & last & (centre >= np.float32(rules.candidate)))
    table = _refine(heatmap, rows, columns)
    table = table[(table[:, 2] >= np.float32(rules.peak_threshold)) & (table[:, 2] < np.inf)]
    key = table[:, 0] if rules.suppression == "position" else -table[:, 2]
    table = table[np.argsort(key, kind="stable")]
    return table[_suppress(table[:, :2], np.float32(rules.radius))]


def _refine(heatmap: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """x, y and value of the vertex of a parabola through the logarithms, along each axis; (N, 3).

    A neighbour counts as at least 1/16 of the centre. Along an axis with a neighbour missing nothing moves.
    """
    centre = heatmap[rows, columns]
    table = np.stack([columns, rows, np.zeros_like(rows)], axis=1).astype(np.float32)
    log_centre, rise = log2(centre), np.zeros(len(centre), np.float32)
    for axis, (at, size) in enumerate(((columns, heatmap.shape[1]), (rows, heatmap.shape[0]))):
        inside = (at > 0) & (at < size - 1)
        drops = []
        for side in (-1, 1):
            near = np.clip(at + side, 0, size - 1)
            value = heatmap[rows, near] if axis == 0 else heatmap[near, columns]
            above = value > centre * np.float32(1 / 16)
            drop = log_centre - log2(np.where(above, value, np.float32(1)))
            drops.append(np.where(above, np.where(drop > 0, drop, np.float32(0)), np.float32(4)))
        total = drops[0] + drops[1]
        moves = inside & (total > 0)
        tilt = np.where(moves, drops[0] - drops[1], np.float32(0))
        shift = np.float32(0.5) * tilt / np.where(moves, total, np.float32(1))
        table[:, axis] += shift
        rise = rise + np.float32(0.25) * tilt * shift  # type: ignore[assignment]
    table[:, 2] = centre * exp2(rise)
    return np.asarray(table)


def log2(value: Floats) -> Floats:
    """Logarithm to the base 2 of positive float32, within 1.2e-6; the same bits on every machine."""
    bits = np.ascontiguousarray(value).view(np.int32)
    exponent: NDArray[np.int32] = (bits - np.int32(SQRT_HALF_BITS)) >> 23
    mantissa = (bits - (exponent << 23)).view(np.float32)
    s = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
    t = s * s
    c = LOG2_SERIES.astype(np.float32)
    whole: Floats = exponent.astype(np.float32)
    return np.asarray(whole + s * (((c[3] * t + c[2]) * t + c[1]) * t + c[0]))


def _suppress(points: NDArray[np.float32] | NDArray[np.intp], radius: np.float32) -> list[int]:
    """In the given order each point that stays removes later ones nearer than `radius`; those that stay."""
    alive = np.ones(len(points), bool)
    for i in range(len(points)):
        if alive[i]:
            apart = points[i + 1 :] - points[i]
            alive[i + 1 :] &= ~(apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1] < radius * radius)
    return [int(i) for i in np.flatnonzero(alive)]


def _connect(
    peaks: Peaks, ends: tuple[int, int], field: Field, rules: LimbRules, bilinear: bool
) -> list[Connection]:
    """One-to-one connections of a limb, best first; of equal scores the later pair, b-major, is first."""
    (first_a, last_a), (first_b, last_b) = ((peaks.starts[k], peaks.starts[k + 1]) for k in ends)
    count_a, count_b = last_a - first_a, last_b - first_b
    if count_a == 0 or count_b == 0:
        return []
    a = np.broadcast_to(peaks.table[None, first_a:last_a, :2], (count_b, count_a, 2)).reshape(-1, 2)
    b = np.repeat(peaks.table[first_b:last_b, :2], count_a, axis=0)
    scores, accepted = _score(a, b, field, rules, bilinear)
    pairs = np.flatnonzero(accepted)
    used: set[int] = set()
    found = []
    for pair in pairs[np.argsort(scores[pairs], kind="stable")[::-1]]:
        i, j = int(first_a + pair % count_a), int(first_b + pair // count_a)
        if i not in used and j not in used:
            used |= {i, j}
            found.append((i, j, float(scores[pair])))
    return found


def _score(
    a: Floats, b: Floats, field: Field, rules: LimbRules, bilinear: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Limb scores of pairs (N, 2), (N, 2), and which are accepted.

    NumPy's order of summing ten values is part of the reference: pairs of the first eight, then the rest.
    """
    vector = b - a
    step = np.float32(1 / (POINTS_PER_LIMB - 1)) * vector
    points = step[:, None] * np.arange(POINTS_PER_LIMB, dtype=np.float32)[:, None] + a[:, None]  # (N, 10, 2)
    sample = _bilinear if bilinear else _nearest
    field_x, field_y = sample(field[0], points), sample(field[1], points)  # (N, 10)
    norm = np.sqrt(vector[:, 0] * vector[:, 0] + vector[:, 1] * vector[:, 1]) + np.float32(1e-6)
    unit = (vector / norm[:, None])[:, None]
    dots = field_x * unit[..., 0] + field_y * unit[..., 1]
    valid = dots > np.float32(rules.limb_threshold)
    d = (dots * valid).T
    total = ((d[0] + d[1]) + (d[2] + d[3])) + ((d[4] + d[5]) + (d[6] + d[7])) + d[8] + d[9]
    count = valid.sum(axis=1)
    scores = total / (count + 1e-6)
    return scores, (scores > 0) & (scores < np.inf) & (count >= rules.limb_points)


def _nearest(field: Floats, points: Floats) -> Floats:
    """Field at the nearest pixels, halves to even."""
    at = np.rint(points).astype(np.intp)
    return np.asarray(field[at[..., 1], at[..., 0]])


def _bilinear(field: Floats, points: Floats) -> Floats:
    """Field between the four cells around each point; the border is replicated."""
    low = points.astype(np.intp)  # towards zero: rounding may leave a point just outside
    low = np.clip(low, 0, np.array(field.shape[1::-1]) - 1)
    high = np.minimum(low + 1, np.array(field.shape[1::-1]) - 1)
    part = points - low.astype(np.float32)
    right, down = part[..., 0], part[..., 1]
    left, up = 1 - right, 1 - down
    upper = field[low[..., 1], low[..., 0]] * left + field[low[..., 1], high[..., 0]] * right
    lower = field[high[..., 1], low[..., 0]] * left + field[high[..., 1], high[..., 0]] * right
    return np.asarray(upper * up + lower * down, np.float32)


class _Entry:
    """A person in the making."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}  # keypoint type -> row of the peaks
        self.score = 0.0
        self.count = 0


def _extend(entries: list[_Entry], ends: tuple[int, int], found: list[Connection], peaks: Peaks) -> None:
    """Give b to every entry that holds a; open an entry for a connection that no entry took."""
    a, b = ends
    values = peaks.table[:, 2].astype(np.float64)
    for i, j, score in found:
        holders = [entry for entry in entries if entry.peaks.get(a) == i]
        for entry in holders:
            entry.peaks[b] = j
            entry.score += values[j] + score
            entry.count += 1
        if not holders:
            entry = _Entry()
            entry.peaks = {a: i, b: j}
            entry.score = values[i] + values[j] + score
            entry.count = 2
            entries.append(entry)


def _fill(entries: list[_Entry], ends: tuple[int, int], found: list[Connection], merge: bool) -> None:
    """Complete entries that hold one end and lack the other; `merge` joins two that hold one end each."""
    a, b = ends
    for i, j, score in found:
        if merge and _merge(entries, (a, i), (b, j), score):
            continue
        for entry in entries:
            if entry.peaks.get(a) == i and b not in entry.peaks:
                entry.peaks[b] = j
            elif entry.peaks.get(b) == j and a not in entry.peaks:
                entry.peaks[a] = i


def _merge(entries: list[_Entry], at_a: tuple[int, int], at_b: tuple[int, int], score: float) -> bool:
    """Join the first entry that holds a with the first that holds b, if no keypoint type is in both."""
    one = next((e for e in entries if e.peaks.get(at_a[0]) == at_a[1]), None)
    two = next((e for e in entries if e.peaks.get(at_b[0]) == at_b[1]), None)
    if one is None or two is None or one.peaks.keys() & two.peaks.keys():
        return False
    one.peaks |= two.peaks
    one.score += two.score + score
    one.count += two.count
    entries.remove(two)
    return True


def _select(entries: list[_Entry], keypoints: int, rules: LimbRules) -> People:
    """Drop entries with too few keypoints or too little score per keypoint."""
    kept = [e for e in entries if not (e.count < rules.min_keypoints or e.score / e.count < rules.min_score)]
    table = np.full((len(kept), keypoints), -1, np.int32)
    for row, entry in zip(table, kept, strict=True):
        for kind, peak in entry.peaks.items():
            row[kind] = peak
    return People(
        peaks=table,
        score=np.array([e.score for e in kept], np.float64),
        count=np.array([e.count for e in kept], np.int32),
    )
