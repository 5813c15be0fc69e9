# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernel behind `cython_ext.crops`; `cython_ext.reference_crops` defines what it computes, bit for bit.

Each axis is resampled by itself: for each row of the crop first down the picture's rows, in one long loop, then along
the row, straight into the network's input. Weights are computed once a crop.
"""

import numpy as np

from libc.math cimport ceil, floor

from cython_ext._scalar cimport stored

cdef enum:
    CHANNELS = 3

cdef float WHOLE = 12582912  # 1.5 * 2 ** 23: adding and taking it away rounds to whole numbers, ties to even


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
        if area:  # an interval touches at most two pixels more than its length, and no pixel beyond the picture
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
    cdef float[::1] line  # one row of the crop at the picture's width
    cdef float[::1] row  # the same at the crop's width
    cdef int[::1] bytes  # the same, rounded to 0..255

    def __init__(self, Py_ssize_t height, Py_ssize_t width):
        self.across, self.down = Taps(width), Taps(height)
        self.row, self.bytes = np.zeros(width * CHANNELS, np.float32), np.zeros(width * CHANNELS, np.int32)
        self.fit(0)

    def fit(self, Py_ssize_t columns):
        """Make room for a picture of this many columns."""
        self.line = np.zeros(columns * CHANNELS, np.float32)


def cut(
    CropBuffers ws,
    const unsigned char[:, :] rows,
    float pad_value,
    const int[::1] order,
    const stored[:, ::1] table,
    stored[:, :, ::1] out,
):
    """Write the crop of a picture's rows, (H, W * 3).

    For each channel of `out` it is the picture's channel in `order`, its 0..255 looked up in `table`.
    """
    with nogil:
        write(ws, rows, pad_value, order, table, out)


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
    """Add one more pixel of the picture, or of the padding beyond it."""
    if 0 <= at < limit:
        taps.weights[i, taps.count[i]] = weight
        taps.count[i] += 1
    else:
        taps.outside[i] += weight


cdef void write(
    CropBuffers ws,
    const unsigned char[:, :] rows,
    float pad_value,
    const int[::1] order,
    const stored[:, ::1] table,
    stored[:, :, ::1] out,
) noexcept nogil:
    cdef Py_ssize_t y, x, first = rows.shape[1], last = 0
    cdef int blue = order[0], green = order[1], red = order[2]  # of the crop's three channels, the picture's
    for x in range(out.shape[1]):  # what the crop shows of the picture's rows
        if ws.across.count[x] > 0:
            first = min(first, ws.across.first[x] * CHANNELS)
            last = max(last, (ws.across.first[x] + ws.across.count[x]) * CHANNELS)
    for y in range(out.shape[0]):
        flatten(ws, rows, y, pad_value, first, last)
        for x in range(out.shape[1]):
            add_up(ws, x, pad_value)
        for x in range(ws.row.shape[0]):
            ws.bytes[x] = nearest(ws.row[x])
        for x in range(out.shape[1]):
            out[y, x, 0] = table[0, ws.bytes[x * CHANNELS + blue]]
            out[y, x, 1] = table[1, ws.bytes[x * CHANNELS + green]]
            out[y, x, 2] = table[2, ws.bytes[x * CHANNELS + red]]


cdef void flatten(
    CropBuffers ws,
    const unsigned char[:, :] rows,
    Py_ssize_t y,
    float pad_value,
    Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    """The picture's rows that one row of the crop is made of, added up with their weights."""
    cdef Py_ssize_t i, t, row, count = ws.down.count[y]
    cdef float start = ws.down.outside[y] * pad_value, weight, below
    cdef const unsigned char *pixels
    cdef const unsigned char *next_pixels
    if count == 0:
        for i in range(first, last):
            ws.line[i] = start
        return
    row, weight = ws.down.first[y], ws.down.weights[y, 0]
    pixels = &rows[row, 0]  # of one row they lie side by side
    for i in range(first, last):
        ws.line[i] = start + weight * <float>pixels[i]
    for t in range(1, count - 1, 2):  # two rows at once: the line is read and written half as often
        weight, below = ws.down.weights[y, t], ws.down.weights[y, t + 1]
        pixels, next_pixels = &rows[row + t, 0], &rows[row + t + 1, 0]
        for i in range(first, last):
            ws.line[i] = (ws.line[i] + weight * <float>pixels[i]) + below * <float>next_pixels[i]
    if count % 2 == 0:
        weight, pixels = ws.down.weights[y, count - 1], &rows[row + count - 1, 0]
        for i in range(first, last):
            ws.line[i] += weight * <float>pixels[i]


cdef inline void add_up(CropBuffers ws, Py_ssize_t x, float pad_value) noexcept nogil:
    """One pixel of the crop, in the picture's order of channels: a weight serves all three."""
    cdef Py_ssize_t t, at = ws.across.first[x] * CHANNELS
    cdef float start = ws.across.outside[x] * pad_value, weight
    cdef float first = start, second = start, third = start
    for t in range(ws.across.count[x]):
        weight = ws.across.weights[x, t]
        first += weight * ws.line[at]
        second += weight * ws.line[at + 1]
        third += weight * ws.line[at + 2]
        at += CHANNELS
    at = x * CHANNELS
    ws.row[at], ws.row[at + 1], ws.row[at + 2] = first, second, third


cdef inline int nearest(float value) noexcept nogil:
    """The nearest of 0..255, ties to even."""
    value = value if value > 0 else <float>0
    value = value if value < 255 else <float>255
    return <int>((value + WHOLE) - WHOLE)
