# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Peaks of the bicubically upsampled maps, without upsampling them; `cython_ext.reference` is the definition.

Bicubic interpolation is local: the pixels of a cell depend on the 5x5 cells around it, and only the inner
3x3 have weights that are positive along both axes. Let N be minus the sum of the negative weights along one
axis, so that the positive ones sum to 1 + N. With m the least of the 5x5 values, M the largest and M3 the
largest of the 3x3, a pixel is at most

    M3 + (Nx + Ny) (M3 - m) + Nx Ny (M3 + M - 2 m),    Nx, Ny <= 0.1875 (half way between two cells).

Only cells for which this reaches the threshold are evaluated, each with a ring of one pixel to compare with.
"""

from libc.math cimport INFINITY, fabs

from cython_ext._heatmaps cimport (
    BLOCK, OVERFLOW, SUPPORT, PeakBuffers, by_channel, keep, set_limit,
)
from cython_ext._scalar cimport clip, real, stored

cdef double ONE_AXIS = 2 * 0.1875
cdef double BOTH_AXES = 0.1875 * 0.1875
cdef double SLACK = 1e-5  # for rounding in float32


def exact(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float peak_threshold, float radius
):
    """Write the integer peaks of upsampled maps into ``ws.table``; return their number, or `OVERFLOW`."""
    cdef Py_ssize_t count
    with nogil:
        count = exact_peaks(ws, rows, channels, peak_threshold, radius)
    return count


cdef Py_ssize_t exact_peaks(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float peak_threshold, float radius
) noexcept nogil:
    cdef Py_ssize_t total = 0, i = 0, count, k, found
    set_exact_limits(ws, rows, channels, peak_threshold)
    found = scan_patches(ws, rows, channels)
    if found == OVERFLOW:
        return OVERFLOW
    by_channel(ws, found, channels)
    for k in range(ws.starts.shape[0] - 1):
        count = 0
        while i < ws.counts[k]:
            count = patch_peaks(ws, rows, channels, peak_threshold, ws.grouped[i], count)
            if count == OVERFLOW:
                return OVERFLOW
            i += 1
        total = keep(ws, count, total, ws.starts[k], radius, True)
        if total == OVERFLOW:
            return OVERFLOW
        ws.starts[k + 1] = <int>total
    return total


cdef void set_exact_limits(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float peak_threshold
) noexcept nogil:
    """Limits that M3 must exceed, given the least and the largest value of the whole channel."""
    cdef Py_ssize_t k, column
    cdef double least, most, low
    if stored is float:
        find_range(rows, ws.float_least, ws.float_most)
    else:
        find_range(rows, ws.int8_least, ws.int8_most)
    for k in range(ws.starts.shape[0] - 1):
        least = INFINITY
        most = -INFINITY
        column = k
        while column < rows.shape[1]:
            if stored is float:
                least = min(least, <double>ws.float_least[column])
                most = max(most, <double>ws.float_most[column])
            else:
                least = min(least, <double>real(ws.int8_least[column], &ws.reals[0]))
                most = max(most, <double>real(ws.int8_most[column], &ws.reals[0]))
            column += channels
        low = peak_threshold + (ONE_AXIS + 2 * BOTH_AXES) * least - BOTH_AXES * most
        low = low / (1 + ONE_AXIS + BOTH_AXES) - SLACK * (peak_threshold + fabs(least) + fabs(most))
        set_limit(ws, k, channels, <float>low)


# The next functions take bare arrays, not the buffers' object, so that the compiler sees that inputs and outputs do
# not overlap, and vectorizes.


cdef void find_range(const stored[:, ::1] rows, stored[::1] least, stored[::1] most) noexcept nogil:
    """Least and largest value of each column; NaN is ignored."""
    cdef Py_ssize_t y, k
    cdef stored value
    for k in range(rows.shape[1]):
        if stored is float:
            least[k] = INFINITY
            most[k] = -INFINITY
        else:
            least[k] = 127
            most[k] = -128
    for y in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            value = rows[y, k]
            least[k] = value if value < least[k] else least[k]
            most[k] = value if value > most[k] else most[k]


cdef void mark(
    const stored[:, ::1] rows, const stored[::1] limit, unsigned char[:, ::1] large
) noexcept nogil:
    """Note which values are above their limit."""
    cdef Py_ssize_t y, k
    for y in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            large[y, k] = rows[y, k] > limit[k]


cdef void widen(unsigned char[:, ::1] large, unsigned char[:, ::1] tall, Py_ssize_t channels) noexcept nogil:
    """Mark the eight neighbours of marked cells, too."""
    cdef Py_ssize_t height = large.shape[0], width = large.shape[1], y, k, above, below
    for y in range(height):
        above = clip(y - 1, height)
        below = clip(y + 1, height)
        for k in range(width):
            tall[y, k] = large[above, k] | large[y, k] | large[below, k]
    for y in range(height):
        for k in range(width):
            large[y, k] = tall[y, k]
        for k in range(width - channels):
            large[y, k] |= tall[y, k + channels]
        for k in range(channels, width):
            large[y, k] |= tall[y, k - channels]


cdef Py_ssize_t scan_patches(PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels) noexcept nogil:
    """Note every cell in whose 3x3 neighbourhood is a large one: an upsampled peak can lie nowhere else."""
    cdef Py_ssize_t width = rows.shape[1], count = 0, y, k, start, stop
    cdef unsigned char hit
    if stored is float:
        mark(rows, ws.float_limit, ws.large)
    else:
        mark(rows, ws.int8_limit, ws.large)
    widen(ws.large, ws.tall, channels)
    for y in range(rows.shape[0]):
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
                        return OVERFLOW
                    ws.found[count, 0] = <int>y
                    ws.found[count, 1] = <int>k
                    count += 1
    return count


cdef Py_ssize_t patch_peaks(
    PeakBuffers ws,
    const stored[:, ::1] rows,
    Py_ssize_t channels,
    float peak_threshold,
    Py_ssize_t at,
    Py_ssize_t count,
) noexcept nogil:
    """Append the peaks among the upsampled pixels of one cell; the new count, or `OVERFLOW`."""
    cdef Py_ssize_t factor = ws.weights.shape[0], height = rows.shape[0], width = rows.shape[1] // channels
    cdef Py_ssize_t y = ws.found[at, 0], x = ws.found[at, 1] // channels, i, j
    cdef float value
    if not gather(ws, rows, channels, peak_threshold, at):
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
            if not peak_threshold <= value < INFINITY:
                continue
            if not (value > ws.patch[i, j - 1] and value > ws.patch[i, j + 1]):
                continue
            if not (value > ws.patch[i - 1, j] and value > ws.patch[i + 1, j]):
                continue
            if count == ws.refined.shape[0]:
                return OVERFLOW
            ws.refined[count, 0] = <float>(x * factor + j - 1)
            ws.refined[count, 1] = <float>(y * factor + i - 1)
            ws.refined[count, 2] = value
            ws.keys[count] = <double>(x * factor + j - 1) * (height * factor) + (y * factor + i - 1)
            count += 1
    return count


cdef bint gather(
    PeakBuffers ws, const stored[:, ::1] rows, Py_ssize_t channels, float peak_threshold, Py_ssize_t at
) noexcept nogil:
    """Copy the 5x5 cells around one, border replicated; whether they can reach the threshold."""
    cdef Py_ssize_t width = rows.shape[1] // channels, channel = ws.found[at, 1] % channels
    cdef Py_ssize_t y = ws.found[at, 0], x = ws.found[at, 1] // channels, i, j, row
    cdef float value, most = -INFINITY, least = INFINITY, near = -INFINITY
    cdef double bound
    cdef Py_ssize_t[SUPPORT] columns
    for j in range(SUPPORT):
        columns[j] = clip(x + j - 2, width) * channels + channel
    for i in range(SUPPORT):
        row = clip(y + i - 2, rows.shape[0])
        for j in range(SUPPORT):
            value = real(rows[row, columns[j]], &ws.reals[0])
            ws.source[i, j] = value
            most = value if value > most else most
            least = value if value < least else least
            if 0 < i < SUPPORT - 1 and 0 < j < SUPPORT - 1:
                near = value if value > near else near
    bound = near + ONE_AXIS * (<double>near - least) + BOTH_AXES * (<double>near + most - 2 * <double>least)
    # Written so that a bound that is not finite lets the patch be evaluated.
    return not bound < peak_threshold - SLACK * (fabs(most) + fabs(least) + peak_threshold)


cdef void interpolate(PeakBuffers ws) noexcept nogil:
    if ws.weights.shape[0] == 4:
        interpolate_by(ws.source, ws.weights, ws.wide, ws.patch, 4)
    else:
        interpolate_by(ws.source, ws.weights, ws.wide, ws.patch, 8)


cdef inline void interpolate_by(
    const float[:, ::1] source,
    const float[:, ::1] weights,
    float[:, ::1] wide,
    float[:, ::1] patch,
    Py_ssize_t factor,
) noexcept nogil:
    """Interpolate `source` into `patch`, along rows first, in the oracle's order of operations."""
    cdef Py_ssize_t i, j, tap, phase
    for i in range(SUPPORT):
        for j in range(factor + 2):
            tap = 0 if j <= factor // 2 else 1
            phase = (j + factor - 1) % factor
            wide[i, j] = (
                source[i, tap] * weights[phase, 0]
                + source[i, tap + 1] * weights[phase, 1]
                + source[i, tap + 2] * weights[phase, 2]
                + source[i, tap + 3] * weights[phase, 3]
            )
    for i in range(factor + 2):
        tap = 0 if i <= factor // 2 else 1
        phase = (i + factor - 1) % factor
        for j in range(factor + 2):
            patch[i, j] = wide[tap, j] * weights[phase, 0] + (
                wide[tap + 1, j] * weights[phase, 1]
                + (wide[tap + 2, j] * weights[phase, 2] + wide[tap + 3, j] * weights[phase, 3])
            )
