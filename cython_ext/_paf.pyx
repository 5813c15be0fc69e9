# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.paf`; `cython_ext.reference` defines what they compute, bit for bit.

A field is read only at the ten points of a limb, whatever its strides; int8 values go through a table of 256.
A pair of keypoints is given up as soon as too many of its points fail: most fail at the first two.
"""

import numpy as np

from libc.math cimport INFINITY, rintf, sqrtf

from cython_ext._heatmaps cimport OVERFLOW
from cython_ext._scalar cimport clip, real, sort, stored

cdef enum:
    POINTS = 10
    KEYPOINT_A = 0  # columns of the table of limbs
    KEYPOINT_B = 1
    CHANNEL_X = 2
    CHANNEL_Y = 3
    FILL_ONLY = 4

# The order in which a pair's points are looked at: where a wrong pair fails first.
cdef int[POINTS] ORDER = [4, 6, 2, 8, 5, 3, 7, 1, 9, 0]


cdef struct Segment:
    float start_x
    float start_y
    float unit_x  # direction, of length 1
    float unit_y
    float step_x  # from one of the limb's points to the next
    float step_y


cdef struct Rules:
    float limb_threshold
    int limb_points
    int min_keypoints
    double min_score
    bint merge


cdef class GroupBuffers:
    """Memory that calls share, allocated again only when a call needs more than any before it."""

    cdef readonly object entries_array, scores_array, counts_array
    cdef int[:, ::1] entries  # one person a row: row of the peaks for each keypoint type, or -1
    cdef double[::1] scores
    cdef int[::1] counts
    cdef int[:, ::1] pairs  # rows of the peaks at both ends, accepted
    cdef double[::1] pair_scores
    cdef int[::1] order, used
    cdef int[:, ::1] limbs
    cdef float[::1] reals, dots
    cdef float[:, ::1] weights
    cdef Rules rules
    cdef Py_ssize_t keypoints

    def __init__(self, Py_ssize_t keypoints, int[:, ::1] limbs, weights, rules):
        self.keypoints = keypoints
        self.limbs = limbs
        self.reals = np.zeros(256, np.float32)
        self.dots = np.zeros(POINTS, np.float32)
        self.weights = np.zeros((0, 4), np.float32) if weights is None else weights
        self.rules.limb_threshold = rules.limb_threshold
        self.rules.limb_points = rules.limb_points
        self.rules.min_keypoints = rules.min_keypoints
        self.rules.min_score = rules.min_score
        self.rules.merge = rules.merge
        self.reserve(64, 1024)
        self.used = np.zeros(1024, np.int32)

    def reserve(self, Py_ssize_t people, Py_ssize_t pairs):
        """Make room for `people`, finished or not, and for `pairs` accepted pairs of one limb."""
        self.entries_array = np.empty((people, self.keypoints), np.int32)
        self.scores_array = np.empty(people, np.float64)
        self.counts_array = np.empty(people, np.int32)
        self.entries = self.entries_array
        self.scores = self.scores_array
        self.counts = self.counts_array
        self.pairs = np.empty((pairs, 2), np.int32)
        self.pair_scores = np.empty(pairs, np.float64)
        self.order = np.empty(pairs, np.int32)

    @property
    def capacity(self):
        """People and pairs that there is room for."""
        return self.scores.shape[0], self.pair_scores.shape[0]

    def dequantize(self, const float[::1] table):
        """Take the real value of each int8."""
        self.reals[:] = table


def group(
    GroupBuffers ws, const float[:, ::1] peaks, const int[::1] starts, const stored[:, :, :] pafs
):
    """Write people into ``ws.entries``, ``ws.scores`` and ``ws.counts``; return their number, or `OVERFLOW`."""
    cdef Py_ssize_t count
    if ws.used.shape[0] < peaks.shape[0]:
        ws.used = np.zeros(2 * peaks.shape[0], np.int32)
    with nogil:
        count = assemble(ws, peaks, starts, pafs)
    return count


def place(
    GroupBuffers ws, const float[:, ::1] peaks, float cell, const float[::1] to_image, float[:, :, ::1] out
):
    """Write x, y, score of the first people's keypoints: ``((x + 0.5) * cell - shift) / scale``; 0 if absent.

    `to_image` is x shift, y shift, x scale, y scale.
    """
    cdef Py_ssize_t i, k, row
    with nogil:
        for i in range(out.shape[0]):
            for k in range(out.shape[1]):
                row = ws.entries[i, k]
                if row < 0:
                    out[i, k, 0] = out[i, k, 1] = out[i, k, 2] = 0
                    continue
                out[i, k, 0] = ((peaks[row, 0] + <float>0.5) * cell - to_image[0]) / to_image[2]
                out[i, k, 1] = ((peaks[row, 1] + <float>0.5) * cell - to_image[1]) / to_image[3]
                out[i, k, 2] = peaks[row, 2]


cdef Py_ssize_t assemble(
    GroupBuffers ws, const float[:, ::1] peaks, const int[::1] starts, const stored[:, :, :] pafs
) noexcept nogil:
    cdef Py_ssize_t people = 0, limb, pairs, i
    ws.used[:] = -1
    for limb in range(ws.limbs.shape[0]):
        pairs = connect(ws, peaks, starts, pafs, limb)
        if pairs == OVERFLOW:
            return OVERFLOW
        sort(ws.pair_scores, ws.order, pairs)
        for i in range(pairs - 1, -1, -1):  # best first; of equal scores the later pair
            if not take(ws, ws.order[i], limb):
                continue
            if ws.limbs[limb, FILL_ONLY]:
                people = fill(ws, ws.order[i], limb, people)
            else:
                people = extend(ws, peaks, ws.order[i], limb, people)
            if people == OVERFLOW:
                return OVERFLOW
    return select(ws, people)


cdef Py_ssize_t connect(
    GroupBuffers ws,
    const float[:, ::1] peaks,
    const int[::1] starts,
    const stored[:, :, :] pafs,
    Py_ssize_t limb,
) noexcept nogil:
    """Note the accepted pairs of one limb, b-major; their number, or `OVERFLOW`."""
    cdef Py_ssize_t a = ws.limbs[limb, KEYPOINT_A], b = ws.limbs[limb, KEYPOINT_B], i, j, count = 0
    cdef double score
    for j in range(starts[b], starts[b + 1]):
        for i in range(starts[a], starts[a + 1]):
            if ws.weights.shape[0]:
                score = exact_score(ws, peaks, pafs, limb, i, j)
            else:
                score = fast_score(ws, peaks, pafs, limb, i, j)
            if not 0 < score < INFINITY:
                continue
            if count == ws.pair_scores.shape[0]:
                return OVERFLOW
            ws.pairs[count, 0] = <int>i
            ws.pairs[count, 1] = <int>j
            ws.pair_scores[count] = score
            count += 1
    return count


cdef inline Segment segment(const float[:, ::1] peaks, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """The line from one peak to another."""
    cdef Segment line
    cdef float vx = peaks[j, 0] - peaks[i, 0], vy = peaks[j, 1] - peaks[i, 1]
    cdef float norm = sqrtf(vx * vx + vy * vy) + <float>1e-6
    line.start_x, line.start_y = peaks[i, 0], peaks[i, 1]
    line.unit_x, line.unit_y = vx / norm, vy / norm
    line.step_x, line.step_y = <float>(1.0 / (POINTS - 1)) * vx, <float>(1.0 / (POINTS - 1)) * vy
    return line


cdef inline double fast_score(
    GroupBuffers ws,
    const float[:, ::1] peaks,
    const stored[:, :, :] pafs,
    Py_ssize_t limb,
    Py_ssize_t i,
    Py_ssize_t j,
) noexcept nogil:
    """Score of a limb between two peaks, field bilinear between cells; 0 when too few points count."""
    cdef Py_ssize_t cx = ws.limbs[limb, CHANNEL_X], cy = ws.limbs[limb, CHANNEL_Y], n, k, x, y, x1, y1
    cdef Segment along = segment(peaks, i, j)
    cdef float px, py, left, right, up, down, fx, fy
    cdef const float *reals = &ws.reals[0]
    cdef int allowed = POINTS - ws.rules.limb_points
    for n in range(POINTS):
        k = ORDER[n]
        px = along.step_x * <float>k + along.start_x
        py = along.step_y * <float>k + along.start_y
        x = clip(<Py_ssize_t>px, pafs.shape[1])
        y = clip(<Py_ssize_t>py, pafs.shape[0])
        x1 = min(x + 1, pafs.shape[1] - 1)
        y1 = min(y + 1, pafs.shape[0] - 1)
        right = px - <float>x
        down = py - <float>y
        left = 1 - right
        up = 1 - down
        fx = (real(pafs[y, x, cx], reals) * left + real(pafs[y, x1, cx], reals) * right) * up + (
            real(pafs[y1, x, cx], reals) * left + real(pafs[y1, x1, cx], reals) * right
        ) * down
        fy = (real(pafs[y, x, cy], reals) * left + real(pafs[y, x1, cy], reals) * right) * up + (
            real(pafs[y1, x, cy], reals) * left + real(pafs[y1, x1, cy], reals) * right
        ) * down
        if not count_point(ws, k, fx * along.unit_x + fy * along.unit_y, &allowed):
            return 0
    return limb_score(ws, POINTS - ws.rules.limb_points - allowed)


cdef inline double exact_score(
    GroupBuffers ws,
    const float[:, ::1] peaks,
    const stored[:, :, :] pafs,
    Py_ssize_t limb,
    Py_ssize_t i,
    Py_ssize_t j,
) noexcept nogil:
    """Score of a limb between two peaks on whole pixels of the upsampled field; 0 when too few count."""
    cdef Py_ssize_t cx = ws.limbs[limb, CHANNEL_X], cy = ws.limbs[limb, CHANNEL_Y], n, k, x, y
    cdef Segment along = segment(peaks, i, j)
    cdef float dot
    cdef int allowed = POINTS - ws.rules.limb_points
    for n in range(POINTS):
        k = ORDER[n]
        x = <Py_ssize_t>rintf(along.step_x * <float>k + along.start_x)
        y = <Py_ssize_t>rintf(along.step_y * <float>k + along.start_y)
        dot = cubic(ws, pafs, y, x, cx) * along.unit_x + cubic(ws, pafs, y, x, cy) * along.unit_y
        if not count_point(ws, k, dot, &allowed):
            return 0
    return limb_score(ws, POINTS - ws.rules.limb_points - allowed)


cdef inline bint count_point(GroupBuffers ws, Py_ssize_t k, float dot, int *allowed) noexcept nogil:
    """Note one point; False when more points have failed than may."""
    ws.dots[k] = dot
    if not dot > ws.rules.limb_threshold:
        ws.dots[k] = dot * 0  # not a number if the field is not finite, as in the oracle
        allowed[0] -= 1
    return allowed[0] >= 0


cdef inline double limb_score(GroupBuffers ws, int failed) noexcept nogil:
    """Mean of the points that count, summed in the order in which NumPy sums `POINTS` = 10 numbers."""
    cdef float total = (
        ((ws.dots[0] + ws.dots[1]) + (ws.dots[2] + ws.dots[3]))
        + ((ws.dots[4] + ws.dots[5]) + (ws.dots[6] + ws.dots[7]))
    ) + ws.dots[8] + ws.dots[9]
    return <double>total / (<double>(POINTS - failed) + 1e-6)


cdef inline float cubic(
    GroupBuffers ws, const stored[:, :, :] pafs, Py_ssize_t py, Py_ssize_t px, Py_ssize_t channel
) noexcept nogil:
    """One pixel of the upsampled field: bicubic, along rows first, in the oracle's order of operations."""
    cdef Py_ssize_t factor = ws.weights.shape[0], phase = px % factor, tap, row
    cdef Py_ssize_t x = px // factor - (2 if phase < factor // 2 else 1)
    cdef Py_ssize_t y = py // factor - (2 if py % factor < factor // 2 else 1)
    cdef Py_ssize_t x0 = clip(x, pafs.shape[1]), x1 = clip(x + 1, pafs.shape[1])
    cdef Py_ssize_t x2 = clip(x + 2, pafs.shape[1]), x3 = clip(x + 3, pafs.shape[1])
    cdef float wide, total = 0
    cdef const float *reals = &ws.reals[0]
    for tap in range(3, -1, -1):
        row = clip(y + tap, pafs.shape[0])
        wide = (
            real(pafs[row, x0, channel], reals) * ws.weights[phase, 0]
            + real(pafs[row, x1, channel], reals) * ws.weights[phase, 1]
            + real(pafs[row, x2, channel], reals) * ws.weights[phase, 2]
            + real(pafs[row, x3, channel], reals) * ws.weights[phase, 3]
        )
        wide = wide * ws.weights[py % factor, tap]
        total = wide if tap == 3 else wide + total
    return total


cdef inline bint take(GroupBuffers ws, Py_ssize_t pair, Py_ssize_t limb) noexcept nogil:
    """Claim both ends of a pair for this limb; False when one of them is taken."""
    cdef Py_ssize_t i = ws.pairs[pair, 0], j = ws.pairs[pair, 1]
    if ws.used[i] == limb or ws.used[j] == limb:
        return False
    ws.used[i] = ws.used[j] = <int>limb
    return True


cdef Py_ssize_t extend(
    GroupBuffers ws, const float[:, ::1] peaks, Py_ssize_t pair, Py_ssize_t limb, Py_ssize_t people
) noexcept nogil:
    """Give b to everyone who holds a, or open an entry; the number of entries, or `OVERFLOW`."""
    cdef Py_ssize_t a = ws.limbs[limb, KEYPOINT_A], b = ws.limbs[limb, KEYPOINT_B], e
    cdef int i = ws.pairs[pair, 0], j = ws.pairs[pair, 1]
    cdef bint held = False
    for e in range(people):
        if ws.entries[e, a] == i:
            ws.entries[e, b] = j
            ws.scores[e] += <double>peaks[j, 2] + ws.pair_scores[pair]
            ws.counts[e] += 1
            held = True
    if held:
        return people
    if people == ws.scores.shape[0]:
        return OVERFLOW
    ws.entries[people, :] = -1
    ws.entries[people, a] = i
    ws.entries[people, b] = j
    ws.scores[people] = <double>peaks[i, 2] + <double>peaks[j, 2] + ws.pair_scores[pair]
    ws.counts[people] = 2
    return people + 1


cdef Py_ssize_t fill(GroupBuffers ws, Py_ssize_t pair, Py_ssize_t limb, Py_ssize_t people) noexcept nogil:
    """Complete entries that hold one end and lack the other; the number of entries, fewer after a merge."""
    cdef Py_ssize_t a = ws.limbs[limb, KEYPOINT_A], b = ws.limbs[limb, KEYPOINT_B], e
    cdef int i = ws.pairs[pair, 0], j = ws.pairs[pair, 1]
    if ws.rules.merge and merge(ws, pair, limb, people):
        return people - 1
    for e in range(people):
        if ws.entries[e, a] == i and ws.entries[e, b] < 0:
            ws.entries[e, b] = j
        elif ws.entries[e, b] == j and ws.entries[e, a] < 0:
            ws.entries[e, a] = i
    return people


cdef bint merge(GroupBuffers ws, Py_ssize_t pair, Py_ssize_t limb, Py_ssize_t people) noexcept nogil:
    """Join the first entry that holds a with the first that holds b, if no keypoint type is in both."""
    cdef Py_ssize_t one = holder(ws, ws.limbs[limb, KEYPOINT_A], ws.pairs[pair, 0], people)
    cdef Py_ssize_t two = holder(ws, ws.limbs[limb, KEYPOINT_B], ws.pairs[pair, 1], people), k, e
    if one == people or two == people:
        return False
    for k in range(ws.keypoints):
        if ws.entries[one, k] >= 0 and ws.entries[two, k] >= 0:
            return False
    for k in range(ws.keypoints):
        ws.entries[one, k] = max(ws.entries[one, k], ws.entries[two, k])
    ws.scores[one] += ws.scores[two] + ws.pair_scores[pair]
    ws.counts[one] += ws.counts[two]
    for e in range(two, people - 1):
        move(ws, e + 1, e)
    return True


cdef inline Py_ssize_t holder(GroupBuffers ws, Py_ssize_t kind, int peak, Py_ssize_t people) noexcept nogil:
    """First entry that holds a peak; `people` when no entry does."""
    cdef Py_ssize_t e
    for e in range(people):
        if ws.entries[e, kind] == peak:
            return e
    return people


cdef inline void move(GroupBuffers ws, Py_ssize_t source, Py_ssize_t target) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(ws.keypoints):
        ws.entries[target, k] = ws.entries[source, k]
    ws.scores[target] = ws.scores[source]
    ws.counts[target] = ws.counts[source]


cdef Py_ssize_t select(GroupBuffers ws, Py_ssize_t people) noexcept nogil:
    """Drop entries with too few keypoints or too little score per keypoint; how many stay."""
    cdef Py_ssize_t e, kept = 0
    for e in range(people):
        if ws.counts[e] < ws.rules.min_keypoints or ws.scores[e] / ws.counts[e] < ws.rules.min_score:
            continue
        if kept != e:
            move(ws, e, kept)
        kept += 1
    return kept
