# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Peaks of the bicubically upsampled maps, without upsampling them; `cython_ext.reference` is the definition.

Bicubic interpolation is local: the pixels of a cell depend on the 5x5 cells around it. Between cells of values
from m to M the interpolant is at most M + 0.4453 (M - m), so that only cells near a large one are evaluated, each
with a ring of one pixel to compare with.
"""

from libc.math cimport INFINITY, fabs

from cython_ext._heatmaps cimport (
    BLOCK, SUPPORT, PeakBuffers, above, by_channel, keep, real, set_limit, stored,
)
from cython_ext._scalar cimport clip

# Half way between two cells the weights sum to 1.1875 where positive and to -0.1875 where negative, along one
# axis; along both to 1.4453 and -0.4453, and to less elsewhere.
cdef double OVERSHOOT = 2 * 1.1875 * 0.1875
cdef double SLACK = 1e-5  # for rounding in float32


def exact_float(PeakBuffers ws, const float[:, ::1] rows, Py_ssize_t channels, float threshold, float radius):
    """Integer peaks of the upsampled float maps into ``ws.table``; their number, or `OVERFLOW`."""
    cdef Py_ssize_t count
    with nogil:
        count = exact(ws, rows, channels, threshold, radius)
    return count


def exact_int8(PeakBuffers ws, const signed char[:, ::1] rows, Py_ssize_t channels, float threshold, float radius):
    """Integer peaks of the upsampled int8 maps into ``ws.table``; their number, or `OVERFLOW`."""
    cdef Py_ssize_t count
    with nogil:
        count = exact(ws, rows, channels, threshold, radius)
    return count


cdef Py_ssize_t exact(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float threshold, float radius
) noexcept nogil:
    cdef Py_ssize_t total = 0, i = 0, count, k, found
    set_exact_limits(ws, rows, channels, threshold)
    found = scan_patches(ws, rows, channels)
    if found < 0:
        return -1
    by_channel(ws, found, channels)
    for k in range(ws.starts.shape[0] - 1):
        count = 0
        while i < ws.counts[k]:
            count = patch_peaks(ws, rows, channels, threshold, ws.grouped[i], count)
            if count < 0:
                return -1
            i += 1
        total = keep(ws, count, total, ws.starts[k], radius, True)
        if total < 0:
            return -1
        ws.starts[k + 1] = <int>total
    return total


cdef void set_exact_limits(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float threshold
) noexcept nogil:
    """Limits below which a cell cannot lift the interpolant to the threshold, given its channel's least value."""
    cdef Py_ssize_t y, k
    cdef double least, low
    cdef stored value
    for k in range(rows.shape[1]):
        if stored is float:
            ws.float_least[k] = INFINITY
        else:
            ws.int8_least[k] = 127
    for y in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            value = rows[y, k]
            if stored is float:
                ws.float_least[k] = value if value < ws.float_least[k] else ws.float_least[k]
            else:
                ws.int8_least[k] = value if value < ws.int8_least[k] else ws.int8_least[k]
    for k in range(ws.starts.shape[0] - 1):
        least = INFINITY
        y = k
        while y < rows.shape[1]:
            if stored is float:
                least = min(least, <double>ws.float_least[y])
            else:
                least = min(least, <double>ws.real[<Py_ssize_t>ws.int8_least[y] + 128])
            y += channels
        low = (threshold + OVERSHOOT * least) / (1 + OVERSHOOT) - SLACK * (threshold + fabs(least))
        set_limit(ws, k, channels, <float>low)


cdef Py_ssize_t scan_patches(PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels) noexcept nogil:
    """Note every cell within 2 of a large one, along both axes: an upsampled peak can lie nowhere else."""
    cdef Py_ssize_t height = rows.shape[0], width = rows.shape[1], count = 0, y, k, near, shift, start, stop
    cdef unsigned char hit
    for y in range(height):
        for k in range(width):
            ws.large[y, k] = above(ws, k, rows[y, k])
    for y in range(height):
        for k in range(width):
            ws.tall[y, k] = 0
        for near in range(max(y - 2, 0), min(y + 3, height)):
            for k in range(width):
                ws.tall[y, k] |= ws.large[near, k]
    for y in range(height):
        for k in range(width):
            ws.large[y, k] = ws.tall[y, k]
        shift = channels
        while shift < min(3 * channels, width):
            for k in range(width - shift):
                ws.large[y, k] |= ws.tall[y, k + shift]
            for k in range(width - shift):
                ws.large[y, k + shift] |= ws.tall[y, k]
            shift += channels
    for y in range(height):
        stop = 0
        while stop < width:
            start = stop
            stop = min(start + BLOCK, width)
            hit = 0
            for k in range(start, stop):
                hit |= ws.large[y, k]
            if not hit:
                continue
            for k in range(start, stop):
                if ws.large[y, k]:
                    if count == ws.found.shape[0]:
                        return -1
                    ws.found[count, 0] = <int>y
                    ws.found[count, 1] = <int>k
                    count += 1
    return count


cdef Py_ssize_t patch_peaks(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float threshold, Py_ssize_t at, Py_ssize_t count
) noexcept nogil:
    """Append the peaks among the upsampled pixels of one cell; the new count, or -1."""
    cdef Py_ssize_t factor = ws.weights.shape[0], height = rows.shape[0], width = rows.shape[1] // channels
    cdef Py_ssize_t y = ws.found[at, 0], x = ws.found[at, 1] // channels, i, j
    cdef float value
    if not gather(ws, rows, channels, threshold, at):
        return count
    interpolate(ws)
    for i in range(factor + 2):  # outside the map nothing is higher
        if y == 0:
            ws.patch[0, i] = 0
        if y == height - 1:
            ws.patch[factor + 1, i] = 0
        if x == 0:
            ws.patch[i, 0] = 0
        if x == width - 1:
            ws.patch[i, factor + 1] = 0
    for i in range(1, factor + 1):
        for j in range(1, factor + 1):
            value = ws.patch[i, j]
            if not (value >= threshold and value > ws.patch[i, j - 1] and value > ws.patch[i, j + 1]):
                continue
            if not (value > ws.patch[i - 1, j] and value > ws.patch[i + 1, j]):
                continue
            if count == ws.refined.shape[0]:
                return -1
            ws.refined[count, 0] = <float>(x * factor + j - 1)
            ws.refined[count, 1] = <float>(y * factor + i - 1)
            ws.refined[count, 2] = value
            ws.keys[count] = <double>(x * factor + j - 1) * (height * factor) + (y * factor + i - 1)
            count += 1
    return count


cdef bint gather(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float threshold, Py_ssize_t at
) noexcept nogil:
    """Copy the 5x5 cells around one, border replicated; whether they can reach the threshold."""
    cdef Py_ssize_t width = rows.shape[1] // channels, channel = ws.found[at, 1] % channels
    cdef Py_ssize_t y = ws.found[at, 0], x = ws.found[at, 1] // channels, i, j, row
    cdef float value, most = -INFINITY, least = INFINITY
    for i in range(SUPPORT):
        row = clip(y + i - 2, rows.shape[0])
        for j in range(SUPPORT):
            value = real(ws, rows[row, clip(x + j - 2, width) * channels + channel])
            ws.source[i, j] = value
            most = value if value > most else most
            least = value if value < least else least
    # Written so that infinities go on to be evaluated.
    return not most + OVERSHOOT * (most - least) < threshold - SLACK * (fabs(most) + fabs(least) + threshold)


cdef void interpolate(PeakBuffers ws) noexcept nogil:
    """Bicubic interpolation of `source` into `patch`: along rows first, in the oracle's order of operations."""
    cdef Py_ssize_t factor = ws.weights.shape[0], i, j, tap, phase
    for i in range(SUPPORT):
        for j in range(factor + 2):
            tap = 0 if j <= factor // 2 else 1
            phase = (j + factor - 1) % factor
            ws.wide[i, j] = (
                ws.source[i, tap] * ws.weights[phase, 0]
                + ws.source[i, tap + 1] * ws.weights[phase, 1]
                + ws.source[i, tap + 2] * ws.weights[phase, 2]
                + ws.source[i, tap + 3] * ws.weights[phase, 3]
            )
    for i in range(factor + 2):
        tap = 0 if i <= factor // 2 else 1
        phase = (i + factor - 1) % factor
        for j in range(factor + 2):
            ws.patch[i, j] = ws.wide[tap, j] * ws.weights[phase, 0] + (
                ws.wide[tap + 1, j] * ws.weights[phase, 1]
                + (ws.wide[tap + 2, j] * ws.weights[phase, 2] + ws.wide[tap + 3, j] * ws.weights[phase, 3])
            )
