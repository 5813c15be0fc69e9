"""The NumPy oracle of the associative-embedding kernels: the definition of what they must return, bit for bit.

The procedure is that of associative embedding (Newell 2017, arXiv:1611.05424) as HigherHRNet and EfficientHRNet use
it: peaks of the heatmaps, their tags, an optimal assignment of peaks to people, one keypoint type after the other,
a quarter of a cell towards the higher neighbours, and a look for what a person lacks.

An optimal assignment is often not unique, as tag distances are rounded. `assign` gives the one that the `munkres`
package gave at version 1.1.4, with which the networks were published; later versions and other solvers give others
that cost the same. Beyond the original: peaks of equal value keep the order of rows, sums run one after the other,
and a value that is not finite is no candidate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.reference import dequantize
from cython_ext.specs import Floats, Groups, Stored, TagRules, taps

FAR = 1e10  # cost of opening a person where there are more candidates than people
FARTHEST = 1e30  # a distance of tags that is larger, or NaN, counts as this: costs are finite
Costs = NDArray[np.float64]
Candidates = tuple[NDArray[np.intp], Floats, Floats]  # cells, values, tags


def unpack(
    maps: Stored,
    keypoints: int,
    scale: float = 0.0,
    zero_point: int = 0,
    partners: NDArray[np.int32] | None = None,
) -> Floats:
    """Return maps (H, W, C) as real planes (K, H, W); with `partners` those of a mirrored picture, mirrored back."""
    planes = dequantize(maps, scale, zero_point)[..., :keypoints].transpose(2, 0, 1)
    if partners is not None:
        planes = planes[partners][:, :, ::-1]
    return np.ascontiguousarray(planes)


def resize(planes: Floats, size: tuple[int, int]) -> Floats:
    """Resize planes (..., h, w) to (..., H, W) bilinearly, half-pixel centres, replicated border."""
    top, bottom, down = taps(planes.shape[-2], size[0])
    left, right, across = taps(planes.shape[-1], size[1])
    wide = (1 - across) * planes[..., left] + across * planes[..., right]
    up, down = (1 - down)[:, None], down[:, None]
    return np.asarray(up * wide[..., top, :] + down * wide[..., bottom, :], np.float32)


def group(heatmaps: Floats, tags: Floats, rules: TagRules) -> Groups:
    """Join peaks of heatmaps (K, H, W) into people by tags (T, K, h, w), as `cython_ext.tags.TagGrouper` does."""
    with np.errstate(all="ignore"):
        vectors = resize(tags, (heatmaps.shape[1], heatmaps.shape[2])).transpose(1, 2, 3, 0)  # (K, H, W, T)
        found = [candidates(heatmaps[k], vectors[k], rules) for k in range(rules.keypoints)]
        people = match(found, rules)
        points = np.zeros((len(people), rules.keypoints, 3), np.float32)
        scores = np.zeros(len(people))
        for row, person in enumerate(people):
            values = [float(heatmaps[k].ravel()[at]) for k, at in sorted(person.cells.items())]
            scores[row] = np.cumsum(values)[-1] / rules.keypoints
            points[row] = _place(person, heatmaps, rules)
            if rules.refine:
                _refine(points[row], person, heatmaps, vectors, rules)
    count = np.array([len(person.cells) for person in people], np.int32)
    return Groups(points=points, score=scores, count=count)


def candidates(heatmap: Floats, vectors: Floats, rules: TagRules) -> Candidates:
    """Return cells (flat), values and tags (N, T) of one type's highest peaks, the highest first."""
    half = rules.nms_size // 2
    padded = np.pad(heatmap, half, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (rules.nms_size, rules.nms_size))
    lower = (windows > heatmap[..., None, None]).any(axis=(2, 3))
    cells = np.flatnonzero((heatmap > np.float32(rules.peak_threshold)) & (heatmap < np.inf) & ~lower)
    values = heatmap.ravel()[cells]
    order = np.argsort(-values, kind="stable")[: rules.max_people]
    found = vectors.reshape(-1, vectors.shape[-1])[cells[order]]
    finite = np.isfinite(found).all(axis=1)
    return cells[order][finite], values[order][finite], found[finite]


class Person:
    """A person in the making: cells by keypoint type, and the tags that count in the mean."""

    def __init__(self, key: np.float32) -> None:
        self.key = key
        self.cells: dict[int, int] = {}
        self.tags: list[Floats] = []

    def mean(self) -> Floats:
        """Mean tag, (T,)."""
        return _mean(self.tags)


def match(found: list[Candidates], rules: TagRules) -> list[Person]:
    """Give the candidates to people, type by type; open a person for a candidate that fits no one."""
    people: list[Person] = []
    for kind in rules.joint_order or range(rules.keypoints):
        cells, values, tags = found[kind]
        if len(cells) == 0:
            continue
        known = people[: rules.max_people]
        joined: list[Person | None] = [None] * len(cells)
        if known:
            means = np.array([person.mean() for person in known])
            apart = tags[:, None].astype(np.float64) - means[None]
            distance = np.sqrt(np.cumsum(apart * apart, axis=2)[..., -1])
            distance = np.where(distance < FARTHEST, distance, FARTHEST)  # a mean may overflow
            cost = np.rint(distance) * 100 - values[:, None].astype(np.float64)
            more = max(len(cells) - len(known), 0)
            columns = assign(np.pad(cost, ((0, 0), (0, more)), constant_values=FAR))
            for row, column in enumerate(columns):
                if column < len(known) and distance[row, column] < rules.tag_threshold:
                    joined[row] = known[column]
        for row, person in enumerate(joined):
            if person is None:
                person = next((p for p in people if p.key == tags[row][0]), None)
                if person is None:
                    person = Person(tags[row][0])
                    people.append(person)
                person.tags = []  # an equal key begins anew
            person.cells[kind] = int(cells[row])
            person.tags.append(tags[row])
    return people


def assign(cost: Costs) -> list[int]:
    """Return for each row of (N, M), N at most M, its column in the assignment of least cost (Munkres 1957).

    Rows of zeros make the matrix square. Among equal assignments the choices are those of the module's text.
    """
    count = cost.shape[1]
    table = np.zeros((count, count))
    table[: len(cost)] = cost
    table -= table.min(axis=1, keepdims=True)
    starred, primed = np.zeros((2, count, count), bool)
    for row, column in np.ndindex(count, count):
        if table[row, column] == 0 and not starred[row].any() and not starred[:, column].any():
            starred[row, column] = True
    while starred.sum() < count:
        primed[:] = False
        rows, columns = np.zeros(count, bool), starred.any(axis=0)  # covered
        start = (0, 0)
        while True:
            zero = _find_zero(table, rows, columns, start)  # type: ignore[arg-type]
            if zero is None:
                least = table[np.ix_(~rows, ~columns)].min()
                table[rows] += least
                table[:, ~columns] -= least
                start = (0, 0)
                continue
            primed[zero] = True
            if not starred[zero[0]].any():
                break
            star = int(np.argmax(starred[zero[0]]))
            rows[zero[0]], columns[star] = True, False  # type: ignore[index]
            start = (zero[0], star)
        _augment(starred, primed, zero)
    return [int(np.argmax(row)) for row in starred[: len(cost)]]


def _find_zero(
    table: Costs, rows: NDArray[np.bool_], columns: NDArray[np.bool_], start: tuple[int, int]
) -> tuple[int, int] | None:
    """The last uncovered zero of the first row that has one, both counted from `start` and round again."""
    count = len(table)
    for i in range(count):
        row = (start[0] + i) % count
        for j in reversed(range(count)):
            column = (start[1] + j) % count
            if table[row, column] == 0 and not rows[row] and not columns[column]:
                return row, column
    return None


def _augment(starred: NDArray[np.bool_], primed: NDArray[np.bool_], zero: tuple[int, int]) -> None:
    """Exchange stars and primes along the path from a primed zero without a star in its row."""
    path = [zero]
    while starred[:, path[-1][1]].any():
        row = int(np.argmax(starred[:, path[-1][1]]))
        path += [(row, path[-1][1]), (row, int(np.argmax(primed[row])))]
    for place in path:
        starred[place] = not starred[place]


def _mean(tags: list[Floats]) -> Floats:
    return np.asarray(np.cumsum(tags, axis=0, dtype=np.float32)[-1] / np.float32(len(tags)))


def _place(person: Person, heatmaps: Floats, rules: TagRules) -> Floats:
    """x, y, value of a person's keypoints before `refine`, (K, 3); 0 for those that are missing."""
    points = np.zeros((rules.keypoints, 3), np.float32)
    for kind, at in person.cells.items():
        points[kind] = _point(heatmaps[kind], at, rules.adjust)
    return points


def _point(heatmap: Floats, at: int, adjust: bool) -> tuple[float, float, float]:
    """x, y, value of a cell; its centre lies at + 0.5, and `adjust` moves it to the higher neighbour's side."""
    height, width = heatmap.shape
    y, x = divmod(at, width)
    if not adjust:
        return x + 0.5, y + 0.5, heatmap[y, x]
    right = heatmap[y, min(x + 1, width - 1)] > heatmap[y, max(x - 1, 0)]
    below = heatmap[min(y + 1, height - 1), x] > heatmap[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if right else -0.25), y + 0.5 + (0.25 if below else -0.25), heatmap[y, x]


def _refine(points: Floats, person: Person, heatmaps: Floats, vectors: Floats, rules: TagRules) -> None:
    """Look up the missing keypoints where the heatmap is high and the tag near the person's mean tag."""
    tags = [vectors[kind].reshape(-1, vectors.shape[-1])[at] for kind, at in sorted(person.cells.items())]
    mean = _mean(tags)
    for kind in set(range(rules.keypoints)) - person.cells.keys():
        apart = vectors[kind] - mean
        distance = np.sqrt(np.cumsum(apart * apart, axis=2, dtype=np.float32)[..., -1])
        fit = heatmaps[kind] - np.rint(distance)
        fit = np.where(np.isfinite(fit), fit, -np.inf)
        at = int(np.argmax(fit))
        value = heatmaps[kind].ravel()[at]
        if fit.ravel()[at] > np.float32(rules.refine_least) and value > 0:
            points[kind] = _point(heatmaps[kind], at, True)
