# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Turn the maps that networks give, channels side by side, into planes of real numbers, and resize planes.

`cython_ext.reference_tags` defines what they compute, bit for bit.
"""

from cython_ext._scalar cimport real, stored


def unpack(
    const stored[:, ::1] rows,
    Py_ssize_t channels,
    const float[::1] reals,
    const int[::1] partner,
    bint mirrored,
    float[:, :, ::1] out,
):
    """Write maps, rows of ``width * channels``, into `out`: plane k holds channel ``partner[k]``.

    Planes of mirrored maps are written from right to left. `reals` has the real value of each int8.
    """
    cdef Py_ssize_t y, x, k, at, step, width = out.shape[2]
    with nogil:
        for y in range(out.shape[1]):
            for k in range(out.shape[0]):
                at = partner[k]
                step = channels
                if mirrored:
                    at += (width - 1) * channels
                    step = -channels
                for x in range(width):
                    out[k, y, x] = real(rows[y, at], &reals[0])
                    at += step


def resize(
    const float[:, :, ::1] planes,
    const int[:, ::1] down,
    const float[::1] down_weight,
    const int[:, ::1] across,
    const float[::1] across_weight,
    float[:, ::1] wide,
    float[:, :, ::1] out,
):
    """Resize planes bilinearly into `out`; along each axis: two source positions and the weight of the second."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(planes.shape[0]):
            widen(planes, k, across, across_weight, wide)
            heighten(wide, down, down_weight, out, k)


cdef void widen(
    const float[:, :, ::1] planes,
    Py_ssize_t k,
    const int[:, ::1] across,
    const float[::1] weight,
    float[:, ::1] wide,
) noexcept nogil:
    cdef Py_ssize_t y, x
    for y in range(planes.shape[1]):
        for x in range(wide.shape[1]):
            wide[y, x] = (
                (<float>1 - weight[x]) * planes[k, y, across[0, x]] + weight[x] * planes[k, y, across[1, x]]
            )


cdef void heighten(
    const float[:, ::1] wide,
    const int[:, ::1] down,
    const float[::1] weight,
    float[:, :, ::1] out,
    Py_ssize_t k,
) noexcept nogil:
    cdef Py_ssize_t y, x, top, bottom
    cdef float above, below
    for y in range(out.shape[1]):
        top, bottom = down[0, y], down[1, y]
        below = weight[y]
        above = <float>1 - below
        for x in range(out.shape[2]):
            out[k, y, x] = above * wide[top, x] + below * wide[bottom, x]
