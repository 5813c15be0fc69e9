# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.topdown`; `cython_ext.reference_topdown` defines what they compute, bit for bit.

Maps come as rows of ``width * channels`` values. One loop without a branch finds the largest value of every
column of every channel; after it only columns that matter are looked at: for the maximum the one that holds
it, for the expectation those that hold a value near it.
"""

import numpy as np

from libc.math cimport INFINITY, floorf, rintf

from cython_ext._scalar cimport LEAST_PART, LOG2_E, STEEPEST, decay, log2, real, stored


cdef class PointBuffers:
    """Memory that calls share, allocated again only for maps of another size."""

    cdef readonly object points_array, average_array
    cdef float[:, ::1] points  # x, y, value
    cdef int[::1] partner
    cdef float[::1] reals, weights  # of each int8, -128 first; by steps below the largest
    cdef float[::1] float_highest
    cdef signed char[::1] int8_highest
    cdef float[:, ::1] average
    cdef float rate  # -beta / ln 2, or 0 for the maximum
    cdef bint quarter, parabola, shift

    def __init__(self, rules):
        self.points_array = np.zeros((rules.keypoints, 3), np.float32)
        self.points = self.points_array
        self.partner = rules.partner_table()
        self.reals = np.zeros(256, np.float32)
        self.weights = np.zeros(256, np.float32)
        self.rate = <float>(-rules.beta * LOG2_E)
        self.quarter, self.shift = rules.quarter_offset, rules.flip_shift
        self.parabola = rules.parabola

    def fit(self, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, reals, weights):
        """Make room for maps of this size; values and weights of int8, where the maps are int8."""
        self.average_array = np.zeros((height, width * self.partner.shape[0]), np.float32)
        self.average = self.average_array
        self.float_highest = np.empty(width * channels, np.float32)
        self.int8_highest = np.empty(width * channels, np.int8)
        if reals is not None:
            self.reals, self.weights = reals, weights


def find(PointBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels):
    """Write the keypoints of float or int8 maps into ``ws.points``."""
    with nogil:
        if stored is float:
            find_points(ws, rows, ws.float_highest, channels)
        else:
            find_points(ws, rows, ws.int8_highest, channels)


def average(
    PointBuffers ws, const stored[:, ::1] rows, const stored[:, ::1] mirrored, Py_ssize_t channels
):
    """Write the mean of a picture's maps and the mirrored picture's into ``ws.average``, as real numbers."""
    cdef Py_ssize_t width = rows.shape[1] // channels, keypoints = ws.partner.shape[0], y, x, k, source
    cdef float here, there
    with nogil:
        for y in range(rows.shape[0]):
            for x in range(width):
                source = width - 1 - (x - 1 if ws.shift and x > 0 else x)
                for k in range(keypoints):
                    here = real(rows[y, x * channels + k], &ws.reals[0])
                    there = real(mirrored[y, source * channels + ws.partner[k]], &ws.reals[0])
                    ws.average[y, x * keypoints + k] = (here + there) * <float>0.5


def suppress(
    const float[:, :, ::1] points,
    const double[::1] areas,
    const double[::1] spreads,
    const int[::1] order,
    double threshold,
    int[::1] kept,
):
    """Write the rows, in the given order, that are not too similar to a kept one into `kept`; return their number."""
    cdef Py_ssize_t count = 0, i, j
    with nogil:
        for i in range(order.shape[0]):
            j = 0
            while j < count and similarity(points, areas, spreads, order[i], kept[j]) <= threshold:
                j += 1
            if j == count:
                kept[count] = order[i]
                count += 1
    return count


cdef void find_points(
    PointBuffers ws, const stored[:, ::1] rows, stored[::1] room, Py_ssize_t channels
) noexcept nogil:
    cdef stored[::1] highest = room[: rows.shape[1]]
    cdef Py_ssize_t k
    find_highest(rows, highest)
    for k in range(ws.points.shape[0]):
        locate(ws, rows, highest, channels, k)


cdef void find_highest(const stored[:, ::1] rows, stored[::1] highest) noexcept nogil:
    """The largest finite value of each column of each channel."""
    cdef Py_ssize_t y, k
    cdef stored value
    for k in range(highest.shape[0]):
        if stored is float:
            highest[k] = -INFINITY
        else:
            highest[k] = -128
    for y in range(rows.shape[0]):
        for k in range(highest.shape[0]):
            value = rows[y, k]
            if stored is float:
                highest[k] = value if (value > highest[k]) & (value < INFINITY) else highest[k]
            else:
                highest[k] = value if value > highest[k] else highest[k]


cdef void locate(
    PointBuffers ws, const stored[:, ::1] rows, const stored[::1] highest, Py_ssize_t channels, Py_ssize_t k
) noexcept nogil:
    """Position and value of one keypoint; all 0 in a map without a finite value."""
    cdef Py_ssize_t at = k, x, y
    cdef stored best = highest[k]
    cdef float value
    while at < highest.shape[0]:
        best = highest[at] if highest[at] > best else best
        at += channels
    ws.points[k, 0] = ws.points[k, 1] = ws.points[k, 2] = 0
    if stored is float:
        if best == -INFINITY:
            return
    if ws.rate < 0:
        expectation(ws, rows, highest, channels, k, best)
        x, y = <Py_ssize_t>rintf(ws.points[k, 0]), <Py_ssize_t>rintf(ws.points[k, 1])
        value = real(rows[y, x * channels + k], &ws.reals[0])
        ws.points[k, 2] = value if -INFINITY < value < INFINITY else <float>0
    else:
        ws.points[k, 2] = real(best, &ws.reals[0])
        if ws.points[k, 2] > 0:
            maximum(ws, rows, highest, channels, k, best)
    if ws.quarter:
        move_quarter(ws, rows, channels, k)
    elif ws.parabola and ws.points[k, 2] > 0:
        move_to_vertex(ws, rows, channels, k)


cdef inline float weight(PointBuffers ws, stored value, stored best) noexcept nogil:
    """``exp(-beta * (best - value))``, 0 where that is next to nothing or `value` is not finite."""
    if stored is float:
        return decay((best - value) * ws.rate)
    else:
        return ws.weights[<Py_ssize_t>best - <Py_ssize_t>value]


cdef void maximum(
    PointBuffers ws,
    const stored[:, ::1] rows,
    const stored[::1] highest,
    Py_ssize_t channels,
    Py_ssize_t k,
    stored best,
) noexcept nogil:
    """The first cell, row by row, that holds `best`."""
    cdef Py_ssize_t x, y, above = rows.shape[0]
    for x in range(highest.shape[0] // channels):
        if highest[x * channels + k] != best:
            continue
        y = 0
        while y < above and rows[y, x * channels + k] != best:
            y += 1
        if y < above:
            above = y
            ws.points[k, 0] = <float>x
            ws.points[k, 1] = <float>y


cdef void expectation(
    PointBuffers ws,
    const stored[:, ::1] rows,
    const stored[::1] highest,
    Py_ssize_t channels,
    Py_ssize_t k,
    stored best,
) noexcept nogil:
    """The mean position under weights, column by column."""
    cdef Py_ssize_t x, y
    cdef double total = 0, sum_x = 0, sum_y = 0, part
    for x in range(highest.shape[0] // channels):
        if weight(ws, highest[x * channels + k], best) == 0:
            continue
        for y in range(rows.shape[0]):
            part = weight(ws, rows[y, x * channels + k], best)
            total += part
            sum_x += part * <double>x
            sum_y += part * <double>y
    ws.points[k, 0] = <float>(sum_x / total)
    ws.points[k, 1] = <float>(sum_y / total)


cdef void move_quarter(
    PointBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, Py_ssize_t k
) noexcept nogil:
    cdef Py_ssize_t x = <Py_ssize_t>floorf(ws.points[k, 0] + <float>0.5)
    cdef Py_ssize_t y = <Py_ssize_t>floorf(ws.points[k, 1] + <float>0.5)
    cdef Py_ssize_t at = x * channels + k
    if not (1 < x < rows.shape[1] // channels - 1 and 1 < y < rows.shape[0] - 1):
        return
    ws.points[k, 0] += quarter(rows[y, at - channels], rows[y, at + channels])
    ws.points[k, 1] += quarter(rows[y - 1, at], rows[y + 1, at])


cdef void move_to_vertex(
    PointBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, Py_ssize_t k
) noexcept nogil:
    """To the vertex of a parabola through the logarithms, along each axis that has two neighbours."""
    cdef Py_ssize_t x = <Py_ssize_t>ws.points[k, 0], y = <Py_ssize_t>ws.points[k, 1], at = x * channels + k
    cdef float centre = ws.points[k, 2]
    if 0 < x < rows.shape[1] // channels - 1:
        ws.points[k, 0] += vertex(ws, rows[y, at - channels], rows[y, at + channels], centre)
    if 0 < y < rows.shape[0] - 1:
        ws.points[k, 1] += vertex(ws, rows[y - 1, at], rows[y + 1, at], centre)


cdef inline float vertex(PointBuffers ws, stored before, stored after, float centre) noexcept nogil:
    cdef float left = drop(real(before, &ws.reals[0]), centre), right = drop(real(after, &ws.reals[0]), centre)
    return <float>0.5 * (left - right) / (left + right) if left + right > 0 else <float>0


cdef inline float drop(float neighbour, float centre) noexcept nogil:
    """Return the distance of a neighbour below the centre, in powers of 2, from 0 to `STEEPEST`."""
    cdef float fall
    if not neighbour > centre * LEAST_PART:
        return STEEPEST
    fall = log2(centre) - log2(neighbour)
    return fall if fall > 0 else <float>0


cdef inline float quarter(stored before, stored after) noexcept nogil:
    return <float>0.25 * ((after > before) - (after < before))


cdef double similarity(
    const float[:, :, ::1] points,
    const double[::1] areas,
    const double[::1] spreads,
    Py_ssize_t one,
    Py_ssize_t other,
) noexcept nogil:
    """Object keypoint similarity of two people over the keypoints that at least one of them has."""
    cdef double area = (areas[one] + areas[other]) * 0.5 + 2.220446049250313e-16, total = 0, dx, dy
    cdef float t
    cdef Py_ssize_t k, count = 0
    for k in range(spreads.shape[0]):
        if not (points[one, k, 2] > 0 or points[other, k, 2] > 0):
            continue
        count += 1
        if not (points[one, k, 2] > 0 and points[other, k, 2] > 0):
            continue
        dx = points[one, k, 0] - points[other, k, 0]
        dy = points[one, k, 1] - points[other, k, 1]
        t = -<float>((dx * dx + dy * dy) / spreads[k] / area * 0.5 * LOG2_E)
        total += decay(t)
    return total / <double>count if count > 0 else 1
