# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.centres`; `cython_ext.reference_centres` defines what they compute, bit for bit.

Maps are read through their strides. A value that could not win even right at the expected position is passed over
before its distance is looked at.
"""

import numpy as np

from libc.math cimport INFINITY, sqrtf

from cython_ext._scalar cimport LOG2_E, power2, real, sort, stored

cdef enum:
    MAPS = 6  # centre, heatmaps, regress, offset, box_scale, box_offset, as rows of the tables
    CENTRE = 0
    HEATMAPS = 1
    REGRESS = 2
    OFFSET = 3
    BOX_SCALE = 4
    BOX_OFFSET = 5

cdef float LEAST_EXPONENT = -120  # lower than elsewhere: every cell with a value may be the only one
cdef float SURELY = 0.99999  # covers the rounding of a bound, which must never be too high
cdef float MOST_CELLS = 1e6  # farther out a position is no position


cdef class CentreBuffers:
    """Memory that calls share."""

    cdef readonly object points_array, centres_array, boxes_array
    cdef float[:, :, ::1] points  # x, y, value
    cdef float[::1] centres
    cdef float[:, ::1] boxes  # left, top, right, bottom
    cdef float[:, ::1] tables  # of each map's int8, -128 first
    cdef float[::1] down, across  # weights of rows and columns
    cdef double[::1] keys
    cdef int[::1] cells, order
    cdef float threshold, nearness
    cdef bint many, boxed

    def __init__(self, rules):
        cdef Py_ssize_t people = rules.max_people if rules.many else 1
        self.points_array = np.zeros((people, rules.keypoints, 3), np.float32)
        self.centres_array = np.zeros(people, np.float32)
        self.boxes_array = np.zeros((people, 4), np.float32)
        self.points, self.centres, self.boxes = self.points_array, self.centres_array, self.boxes_array
        self.threshold, self.nearness = rules.threshold, rules.nearness
        self.many, self.boxed = rules.many, rules.boxed
        self.fit(1, 1, np.zeros((MAPS, 256), np.float32))

    def fit(self, Py_ssize_t height, Py_ssize_t width, tables):
        """Make room for maps of this size; real values of int8, a row a map."""
        self.tables = tables
        self.down, self.across = np.empty(height, np.float32), np.empty(width, np.float32)
        self.keys = np.empty(height * width, np.float64)
        self.cells, self.order = np.empty(height * width, np.int32), np.empty(height * width, np.int32)


def find(
    CentreBuffers ws,
    const stored[:, :, :] centre,
    const stored[:, :, :] heatmaps,
    const stored[:, :, :] regress,
    const stored[:, :, :] offset,
    const stored[:, :, :] box_scale,
    const stored[:, :, :] box_offset,
):
    """People into the memory of `ws`; their number. Maps of boxes may be None where the rules say so."""
    cdef Py_ssize_t count
    if not ws.boxed:
        box_scale = box_offset = regress
    with nogil:
        count = centres_of(ws, centre) if ws.many else nearest_centre(ws, centre)
        fill(ws, count, heatmaps, regress, offset, box_scale, box_offset)
    return count


cdef Py_ssize_t nearest_centre(CentreBuffers ws, const stored[:, :, :] centre) noexcept nogil:
    """The cell with the largest value by distance from the map's middle, into ``cells[0]``; return how many, 0 or 1."""
    cdef float middle_y = <float>centre.shape[0] * <float>0.5, middle_x = <float>centre.shape[1] * <float>0.5
    cdef Py_ssize_t y, x, found = 0
    cdef float value, best = 0
    for y in range(centre.shape[0]):
        for x in range(centre.shape[1]):
            value = real(centre[y, x, 0], &ws.tables[CENTRE, 0])
            if not 0 < value < INFINITY:
                continue
            value = value / (distance(<float>y - middle_y, <float>x - middle_x) + ws.nearness)
            if value > best:
                best, found = value, 1
                ws.cells[0] = <int>(y * centre.shape[1] + x)
                ws.centres[0] = real(centre[y, x, 0], &ws.tables[CENTRE, 0])
    ws.order[0] = 0
    return found


cdef inline float distance(float y, float x) noexcept nogil:
    return sqrtf(y * y + x * x)


cdef Py_ssize_t centres_of(CentreBuffers ws, const stored[:, :, :] centre) noexcept nogil:
    """Cells that are above the threshold and not below a neighbour, the surest first; their number."""
    cdef Py_ssize_t y, x, count = 0, kept, i
    cdef float value
    for y in range(centre.shape[0]):
        for x in range(centre.shape[1]):
            value = real(centre[y, x, 0], &ws.tables[CENTRE, 0])
            if ws.threshold < value < INFINITY and is_highest(centre, y, x):
                ws.cells[count] = <int>(y * centre.shape[1] + x)
                ws.keys[count] = -<double>value
                count += 1
    sort(ws.keys, ws.order, count)
    kept = min(count, ws.centres.shape[0])
    for i in range(kept):
        ws.centres[i] = <float>-ws.keys[ws.order[i]]
    return kept


cdef inline bint is_highest(const stored[:, :, :] centre, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(max(y - 1, 0), min(y + 2, centre.shape[0])):
        for j in range(max(x - 1, 0), min(x + 2, centre.shape[1])):
            if centre[i, j, 0] > centre[y, x, 0]:
                return False
    return True


cdef void fill(
    CentreBuffers ws,
    Py_ssize_t count,
    const stored[:, :, :] heatmaps,
    const stored[:, :, :] regress,
    const stored[:, :, :] offset,
    const stored[:, :, :] box_scale,
    const stored[:, :, :] box_offset,
) noexcept nogil:
    """Boxes and keypoints of those whose centres are known."""
    cdef Py_ssize_t row, cell, y, x, k
    for row in range(count):
        cell = ws.cells[ws.order[row]]
        y, x = cell // heatmaps.shape[1], cell % heatmaps.shape[1]
        put_box(ws, row, y, x, heatmaps.shape[0], heatmaps.shape[1], box_scale, box_offset)
        for k in range(ws.points.shape[1]):
            put_point(
                ws, row, k, heatmaps, offset,
                <float>y + real(regress[y, x, 2 * k], &ws.tables[REGRESS, 0]),
                <float>x + real(regress[y, x, 2 * k + 1], &ws.tables[REGRESS, 0]),
            )  # fmt: skip


cdef void put_box(
    CentreBuffers ws,
    Py_ssize_t row,
    Py_ssize_t y,
    Py_ssize_t x,
    Py_ssize_t height,
    Py_ssize_t width,
    const stored[:, :, :] box_scale,
    const stored[:, :, :] box_offset,
) noexcept nogil:
    """A person's box, inside the map; the whole map where the network gives no boxes; empty where a number is NaN."""
    cdef float middle_y, middle_x, half_y, half_x
    ws.boxes[row, 0] = ws.boxes[row, 1] = 0
    ws.boxes[row, 2], ws.boxes[row, 3] = <float>width, <float>height
    if not ws.boxed:
        return
    middle_y = <float>y + real(box_offset[y, x, 0], &ws.tables[BOX_OFFSET, 0])
    middle_x = <float>x + real(box_offset[y, x, 1], &ws.tables[BOX_OFFSET, 0])
    half_y = real(box_scale[y, x, 0], &ws.tables[BOX_SCALE, 0]) * <float>0.5
    half_x = real(box_scale[y, x, 1], &ws.tables[BOX_SCALE, 0]) * <float>0.5
    ws.boxes[row, 0] = inside(middle_x - half_x, <float>width)
    ws.boxes[row, 1] = inside(middle_y - half_y, <float>height)
    ws.boxes[row, 2] = inside(middle_x + half_x, <float>width)
    ws.boxes[row, 3] = inside(middle_y + half_y, <float>height)


cdef inline float inside(float position, float size) noexcept nogil:
    """The nearest position from 0 to `size`; 0 for NaN."""
    if not position > 0:
        return 0
    return position if position < size else size


cdef void put_point(
    CentreBuffers ws,
    Py_ssize_t row,
    Py_ssize_t k,
    const stored[:, :, :] heatmaps,
    const stored[:, :, :] offset,
    float at_y,
    float at_x,
) noexcept nogil:
    """A person's keypoint: the largest value, by nearness to where it is expected; 0 without one."""
    cdef float best = 0, value, x, y
    cdef Py_ssize_t found = search_many(ws, row, k, heatmaps, at_y, at_x, &best) if ws.many else (
        search_one(ws, k, heatmaps, at_y, at_x, &best))
    cdef Py_ssize_t i = found // heatmaps.shape[1], j = found % heatmaps.shape[1]
    ws.points[row, k, 0] = ws.points[row, k, 1] = ws.points[row, k, 2] = 0
    if found < 0:
        return
    x = <float>j + real(offset[i, j, 2 * k + 1], &ws.tables[OFFSET, 0])
    y = <float>i + real(offset[i, j, 2 * k], &ws.tables[OFFSET, 0])
    if -MOST_CELLS < x < MOST_CELLS and -MOST_CELLS < y < MOST_CELLS:
        value = best if ws.many else real(heatmaps[i, j, k], &ws.tables[HEATMAPS, 0])
        ws.points[row, k, 0], ws.points[row, k, 1], ws.points[row, k, 2] = x, y, value


cdef Py_ssize_t search_one(
    CentreBuffers ws, Py_ssize_t k, const stored[:, :, :] heatmaps, float at_y, float at_x, float *best
) noexcept nogil:
    """The cell with the largest value over distance, ties by position; -1 where no value is above 0."""
    cdef Py_ssize_t y, x, found = -1
    cdef float value, bound = 0
    for y in range(heatmaps.shape[0]):
        for x in range(heatmaps.shape[1]):
            value = real(heatmaps[y, x, k], &ws.tables[HEATMAPS, 0])
            if not bound < value < INFINITY:
                continue
            value = value / (distance(<float>y - at_y, <float>x - at_x) + ws.nearness)
            if value > best[0]:
                best[0], found = value, y * heatmaps.shape[1] + x
                bound = value * ws.nearness * SURELY
    return found


cdef Py_ssize_t search_many(
    CentreBuffers ws,
    Py_ssize_t row,
    Py_ssize_t k,
    const stored[:, :, :] heatmaps,
    float at_y,
    float at_x,
    float *best,
) noexcept nogil:
    """The cell in the box with the largest weighted value, ties by position; -1 where no value is above 0."""
    cdef Py_ssize_t y, x, found = -1
    cdef float value, rate = -<float>LOG2_E / (ws.nearness * <float>heatmaps.shape[1])
    weigh(ws.down, at_y, rate, ws.boxes[row, 1], ws.boxes[row, 3])
    weigh(ws.across, at_x, rate, ws.boxes[row, 0], ws.boxes[row, 2])
    for y in range(heatmaps.shape[0]):
        if ws.down[y] == 0:
            continue
        for x in range(heatmaps.shape[1]):
            value = real(heatmaps[y, x, k], &ws.tables[HEATMAPS, 0])
            if not best[0] < value < INFINITY:
                continue
            value = value * (ws.down[y] * ws.across[x])
            if value > best[0]:
                best[0], found = value, y * heatmaps.shape[1] + x
    return found


cdef void weigh(float[::1] weights, float at, float rate, float low, float high) noexcept nogil:
    """A Gaussian's values from 0 to 1 at 0, 1, 2...; 0 outside of low..high."""
    cdef Py_ssize_t i
    cdef float t, weight
    for i in range(weights.shape[0]):
        t = (<float>i - at) * (<float>i - at) * rate
        weight = power2(t) if LEAST_EXPONENT < t <= 0 and low <= <float>i <= high else <float>0
        weights[i] = weight if weight < 1 else <float>1
