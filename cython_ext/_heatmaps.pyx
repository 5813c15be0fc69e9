# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.heatmaps`; `cython_ext.reference` defines what they compute, bit for bit.

Maps come as rows of ``width * channels`` values, channels side by side, so that loops without a branch
compare the cells of all channels with their neighbours. An int8 map is read as it is; only the cells around
candidates are turned into real values, through a table of 256.
"""

import numpy as np

from libc.math cimport INFINITY, nextafterf

from cython_ext._heatmaps cimport BLOCK, OVERFLOW, SIDE, SUPPORT, above
from cython_ext._scalar cimport LEAST_INT8, LEAST_PART, STEEPEST, exp2, log2, real, sort, stored


cdef class PeakBuffers:
    """Memory that calls share, allocated again only when a call needs more than any before it."""

    def __init__(self, Py_ssize_t keypoints):
        self.starts_array = np.zeros(keypoints + 1, np.int32)
        self.starts = self.starts_array
        self.counts = np.zeros(keypoints + 1, np.int32)
        self.reals = np.zeros(256, np.float32)
        self.logs = np.zeros(256, np.float32)
        self.weights = np.zeros((8, 4), np.float32)
        self.source = np.zeros((SUPPORT, SUPPORT), np.float32)
        self.wide = np.zeros((SUPPORT, SIDE), np.float32)
        self.patch = np.zeros((SIDE, SIDE), np.float32)
        self.reserve(512)

    def reserve(self, Py_ssize_t capacity):
        """Make room for `capacity` candidates of all types together."""
        self.table_array = np.empty((capacity, 3), np.float32)
        self.table = self.table_array
        self.refined = np.empty((capacity, 3), np.float32)
        self.found = np.empty((capacity, 2), np.int32)
        self.keys = np.empty(capacity, np.float64)
        self.order = np.empty(capacity, np.int32)
        self.grouped = np.empty(capacity, np.int32)

    @property
    def capacity(self):
        """Candidates that there is room for."""
        return self.table.shape[0]

    def fit(self, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, weights):
        """Make room for maps of this size; `weights` (factor, 4) to interpolate by, None for fast peaks."""
        self.float_limit = np.full(width * channels, INFINITY, np.float32)
        self.int8_limit = np.full(width * channels, 127, np.int8)
        if weights is not None:
            self.weights = weights
            self.float_least = np.empty(width * channels, np.float32)
            self.float_most = np.empty(width * channels, np.float32)
            self.int8_least = np.empty(width * channels, np.int8)
            self.int8_most = np.empty(width * channels, np.int8)
            self.large = np.empty((height, width * channels), np.uint8)
            self.tall = np.empty((height, width * channels), np.uint8)

    def dequantize(self, const float[::1] table):
        """Take the real value of each int8, and their logarithms."""
        cdef Py_ssize_t i
        for i in range(256):
            self.reals[i] = table[i]
            self.logs[i] = log2(table[i]) if table[i] > 0 else 0

    def limit(self, Py_ssize_t channels, float least):
        """Let cells of the searched channels pass that are at least this large."""
        cdef Py_ssize_t k
        for k in range(self.starts.shape[0] - 1):
            set_limit(self, k, channels, least)


def fast(
    PeakBuffers ws,
    const stored[:, ::1] rows,
    Py_ssize_t channels,
    float peak_threshold,
    float radius,
    bint by_score,
):
    """Write the sub-pixel peaks of float or int8 maps into ``ws.table``; return their number, or `OVERFLOW`."""
    cdef Py_ssize_t count
    with nogil:
        count = fast_peaks(ws, rows, channels, peak_threshold, radius, by_score)
    return count


cdef void set_limit(PeakBuffers ws, Py_ssize_t channel, Py_ssize_t channels, float least) noexcept nogil:
    """Let cells of one channel pass that are at least `least`: a limit is the largest value that does not."""
    cdef Py_ssize_t k = channel, q = 0
    cdef float below = nextafterf(least, -INFINITY)
    while q < 255 and not ws.reals[q + 1] >= least:
        q += 1
    while k < ws.float_limit.shape[0]:
        ws.float_limit[k] = below
        ws.int8_limit[k] = <signed char>(q + LEAST_INT8)
        k += channels


cdef inline float logarithm(PeakBuffers ws, stored value) noexcept nogil:
    if stored is float:
        return log2(value)
    else:
        return ws.logs[<Py_ssize_t>value - LEAST_INT8]


cdef Py_ssize_t fast_peaks(
    PeakBuffers ws,
    const stored[:, ::1] rows,
    Py_ssize_t channels,
    float peak_threshold,
    float radius,
    bint by_score,
) noexcept nogil:
    cdef Py_ssize_t found = scan(ws, rows, channels), total = 0, i = 0, count, k
    if found == OVERFLOW:
        return OVERFLOW
    by_channel(ws, found, channels)
    for k in range(ws.starts.shape[0] - 1):
        count = 0
        while i < ws.counts[k]:
            refine(ws, rows, channels, ws.grouped[i], count)
            if peak_threshold <= ws.refined[count, 2] < INFINITY:
                ws.keys[count] = -ws.refined[count, 2] if by_score else ws.refined[count, 0]
                count += 1
            i += 1
        total = keep(ws, count, total, ws.starts[k], radius, not by_score)
        if total == OVERFLOW:
            return OVERFLOW
        ws.starts[k + 1] = <int>total
    return total


cdef Py_ssize_t scan(PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels) noexcept nogil:
    """Note every local maximum that is above its limit; most blocks are passed over after one comparison."""
    cdef Py_ssize_t width = rows.shape[1], count = 0, y, k, start, stop
    cdef bint inside
    for y in range(rows.shape[0]):
        stop = 0
        while stop < width:
            start = stop
            stop = min(start + BLOCK, width)
            if stop - start == BLOCK:
                if not any_above(ws, rows, y, start):
                    continue
                inside = 0 < y < rows.shape[0] - 1 and start >= channels and stop <= width - channels
                if inside and not any_maximum(ws, rows, channels, y, start):
                    continue
            for k in range(start, stop):
                if is_maximum(ws, rows, channels, y, k):
                    if count == ws.found.shape[0]:
                        return OVERFLOW
                    ws.found[count, 0] = <int>y
                    ws.found[count, 1] = <int>k
                    count += 1
    return count


cdef inline bint any_above(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t y, Py_ssize_t start
) noexcept nogil:
    cdef Py_ssize_t k
    cdef int hit = 0
    for k in range(start, start + BLOCK):
        hit |= above(ws, k, rows[y, k])
    return hit != 0


cdef inline bint any_maximum(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, Py_ssize_t y, Py_ssize_t start
) noexcept nogil:
    """Whether a block that does not touch the map's border holds a maximum."""
    cdef Py_ssize_t k
    cdef int hit = 0
    cdef stored value
    for k in range(start, start + BLOCK):
        value = rows[y, k]
        hit |= (
            above(ws, k, value)
            & (value > rows[y, k - channels])
            & (value > rows[y - 1, k])
            & (value >= rows[y, k + channels])
            & (value >= rows[y + 1, k])
        )
    return hit != 0


cdef inline bint is_maximum(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, Py_ssize_t y, Py_ssize_t k
) noexcept nogil:
    """Whether a value is above its left and upper neighbour and not below the other two; outside is lower."""
    cdef stored value = rows[y, k]
    if not above(ws, k, value):
        return False
    if k >= channels and not value > rows[y, k - channels]:
        return False
    if y > 0 and not value > rows[y - 1, k]:
        return False
    if k + channels < rows.shape[1] and not value >= rows[y, k + channels]:
        return False
    return y + 1 == rows.shape[0] or value >= rows[y + 1, k]


cdef void by_channel(PeakBuffers ws, Py_ssize_t found, Py_ssize_t channels) noexcept nogil:
    """Order candidates by channel; those of channel k end at ``counts[k]``."""
    cdef Py_ssize_t i, k, channel
    ws.counts[:] = 0
    for i in range(found):
        ws.counts[ws.found[i, 1] % channels + 1] += 1
    for k in range(1, ws.counts.shape[0]):
        ws.counts[k] += ws.counts[k - 1]
    for i in range(found):
        channel = ws.found[i, 1] % channels
        ws.grouped[ws.counts[channel]] = <int>i
        ws.counts[channel] += 1


cdef void refine(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, Py_ssize_t candidate, Py_ssize_t out
) noexcept nogil:
    """Vertex of a parabola through the logarithms of a candidate and its neighbours, along each axis."""
    cdef Py_ssize_t y = ws.found[candidate, 0], k = ws.found[candidate, 1]
    cdef float centre = real(rows[y, k], &ws.reals[0]), log_centre = logarithm(ws, rows[y, k])
    cdef float before, after, tilt, shift, rise = 0
    ws.refined[out, 0] = <float>(k // channels)
    ws.refined[out, 1] = <float>y
    if k >= channels and k + channels < rows.shape[1]:
        before = drop(ws, rows[y, k - channels], centre, log_centre)
        after = drop(ws, rows[y, k + channels], centre, log_centre)
        if before + after > 0:
            tilt = before - after
            shift = <float>0.5 * tilt / (before + after)
            ws.refined[out, 0] += shift
            rise = rise + <float>0.25 * tilt * shift
    if 0 < y < rows.shape[0] - 1:
        before = drop(ws, rows[y - 1, k], centre, log_centre)
        after = drop(ws, rows[y + 1, k], centre, log_centre)
        if before + after > 0:
            tilt = before - after
            shift = <float>0.5 * tilt / (before + after)
            ws.refined[out, 1] += shift
            rise = rise + <float>0.25 * tilt * shift
    ws.refined[out, 2] = centre * exp2(rise)


cdef inline float drop(PeakBuffers ws, stored neighbour, float centre, float log_centre) noexcept nogil:
    """Return the distance of a neighbour below the centre, in powers of 2, from 0 to `STEEPEST`."""
    cdef float fall
    if not real(neighbour, &ws.reals[0]) > centre * LEAST_PART:
        return STEEPEST
    fall = log_centre - logarithm(ws, neighbour)
    return fall if fall > 0 else 0


cdef Py_ssize_t keep(
    PeakBuffers ws, Py_ssize_t count, Py_ssize_t total, Py_ssize_t first, float radius, bint by_x
) noexcept nogil:
    """Append `count` refined peaks in the order of their keys, but for those near one that was kept."""
    cdef Py_ssize_t i, j, row
    cdef float x, y, dx, dy
    sort(ws.keys, ws.order, count)
    for i in range(count):
        row = ws.order[i]
        x = ws.refined[row, 0]
        y = ws.refined[row, 1]
        j = total - 1
        while j >= first:
            dx = x - ws.table[j, 0]
            dy = y - ws.table[j, 1]
            if by_x and dx >= radius:
                j = first - 1  # all others are farther to the left
            elif dx * dx + dy * dy < radius * radius:
                break
            else:
                j -= 1
        if j >= first:
            continue
        if total == ws.table.shape[0]:
            return OVERFLOW
        ws.table[total, 0] = x
        ws.table[total, 1] = y
        ws.table[total, 2] = ws.refined[row, 2]
        total += 1
    return total
