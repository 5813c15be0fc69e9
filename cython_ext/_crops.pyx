# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernel behind `cython_ext.crops`; `cython_ext.reference_crops` defines what it computes, bit for bit.

Each axis is resampled by itself: first every row of the picture that is needed, once, then down the columns, straight
into the network's input. Weights are computed once a crop.
"""

import numpy as np

from libc.math cimport ceil, floor, rintf

ctypedef fused stored:
    float
    signed char

cdef enum:
    CHANNELS = 3


cdef class Taps:
    """For each pixel of the crop along one axis: the picture's pixels that it is made of."""

    cdef int[::1] first, count
    cdef float[:, ::1] weights
    cdef float[::1] outside  # weight of what lies beyond the picture

    def __init__(self, Py_ssize_t size):
        self.first, self.count = np.zeros(size, np.int32), np.zeros(size, np.int32)
        self.outside = np.zeros(size, np.float32)
        self.weights = np.zeros((size, 2), np.float32)

    def fit(self, double scale, double pad, Py_ssize_t limit, bint area):
        """Find them for ``crop = picture * scale + pad``, a picture of `limit` pixels."""
        cdef Py_ssize_t most = 2
        if area:  # an interval of so many pixels touches two more at most, and none beyond the picture
            most = <Py_ssize_t>min(floor(1 / scale) + 2, <double>limit)
        if self.weights.shape[1] < most:
            self.weights = np.zeros((self.first.shape[0], most), np.float32)
        with nogil:
            if area:
                cover(self, scale, pad, limit)
            else:
                interpolate(self, scale, pad, limit)


cdef class CropBuffers:
    """Memory that calls share."""

    cdef readonly Taps across, down
    cdef float[:, ::1] wide  # rows of the picture at the crop's width
    cdef unsigned char[::1] ready

    def __init__(self, Py_ssize_t height, Py_ssize_t width):
        self.across, self.down = Taps(width), Taps(height)
        self.fit(0)

    def fit(self, Py_ssize_t rows):
        """Make room for a picture of this many rows."""
        self.wide = np.zeros((rows, self.across.first.shape[0] * CHANNELS), np.float32)
        self.ready = np.zeros(rows, np.uint8)


def cut(
    CropBuffers ws,
    const unsigned char[:, :, :] frame,
    float pad_value,
    const int[::1] order,
    const stored[:, ::1] table,
    stored[:, :, ::1] out,
):
    """Write the crop: for each channel of `out` the frame's channel in `order`, its 0..255 looked up in `table`."""
    with nogil:
        write(ws, frame, pad_value, order, table, out)


cdef void interpolate(Taps taps, double scale, double pad, Py_ssize_t limit) noexcept nogil:
    """Two neighbours and their weights; a pixel's middle is half a pixel behind its index."""
    cdef Py_ssize_t i, low
    cdef double at
    cdef float second, weight
    for i in range(taps.first.shape[0]):
        at = (<double>i + 0.5 - pad) / scale - 0.5
        at = max(min(at, <double>limit + 1), -2.0)  # farther out is outside all the same
        low = <Py_ssize_t>floor(at)
        second = <float>(at - floor(at))
        begin(taps, i, max(low, 0))
        weight = <float>1 - second
        add(taps, i, low, weight, limit)
        add(taps, i, low + 1, second, limit)


cdef void cover(Taps taps, double scale, double pad, Py_ssize_t limit) noexcept nogil:
    """Every pixel that an interval touches, by how much of the interval it is."""
    cdef Py_ssize_t i, j
    cdef double low, high, length = 1 / scale, start, end
    for i in range(taps.first.shape[0]):
        low, high = (<double>i - pad) / scale, (<double>i - pad) / scale + length
        start, end = max(low, 0.0), min(high, <double>limit)
        begin(taps, i, 0)
        if start >= end:
            taps.outside[i] = 1
            continue
        taps.outside[i] = <float>((length - (end - start)) / length)
        begin_at(taps, i, <Py_ssize_t>floor(start))
        for j in range(<Py_ssize_t>floor(start), <Py_ssize_t>ceil(end)):
            if taps.count[i] == taps.weights.shape[1]:
                break  # rounding of the interval's end: a part of about 1e-16
            taps.weights[i, taps.count[i]] = <float>((min(<double>j + 1, end) - max(<double>j, start)) / length)
            taps.count[i] += 1


cdef inline void begin(Taps taps, Py_ssize_t i, Py_ssize_t first) noexcept nogil:
    taps.outside[i] = 0
    begin_at(taps, i, first)


cdef inline void begin_at(Taps taps, Py_ssize_t i, Py_ssize_t first) noexcept nogil:
    taps.first[i], taps.count[i] = <int>first, 0


cdef inline void add(Taps taps, Py_ssize_t i, Py_ssize_t at, float weight, Py_ssize_t limit) noexcept nogil:
    """One more pixel of the picture, or of what is beyond it."""
    if 0 <= at < limit:
        taps.weights[i, taps.count[i]] = weight
        taps.count[i] += 1
    else:
        taps.outside[i] += weight


cdef void write(
    CropBuffers ws,
    const unsigned char[:, :, :] frame,
    float pad_value,
    const int[::1] order,
    const stored[:, ::1] table,
    stored[:, :, ::1] out,
) noexcept nogil:
    cdef Py_ssize_t y, x, c, t, row
    cdef float value
    ws.ready[:] = 0
    for y in range(out.shape[0]):
        for t in range(ws.down.count[y]):
            row = ws.down.first[y] + t
            if not ws.ready[row]:
                widen(ws, frame, row, pad_value)
                ws.ready[row] = 1
        for x in range(out.shape[1]):
            for c in range(CHANNELS):
                value = ws.down.outside[y] * pad_value
                for t in range(ws.down.count[y]):
                    value += ws.down.weights[y, t] * ws.wide[ws.down.first[y] + t, x * CHANNELS + order[c]]
                out[y, x, c] = table[c, nearest(value)]


cdef void widen(
    CropBuffers ws, const unsigned char[:, :, :] frame, Py_ssize_t row, float pad_value
) noexcept nogil:
    """One row of the picture at the crop's width."""
    cdef Py_ssize_t x, c, t, first
    cdef float value
    for x in range(ws.across.first.shape[0]):
        first = ws.across.first[x]
        for c in range(CHANNELS):
            value = ws.across.outside[x] * pad_value
            for t in range(ws.across.count[x]):
                value += ws.across.weights[x, t] * <float>frame[row, first + t, c]
            ws.wide[row, x * CHANNELS + c] = value


cdef inline Py_ssize_t nearest(float value) noexcept nogil:
    """The nearest of 0..255, of two the even one."""
    cdef float whole = rintf(value)
    whole = whole if whole > 0 else <float>0
    return <Py_ssize_t>(whole if whole < 255 else <float>255)
