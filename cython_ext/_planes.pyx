# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Maps as networks give them, channels side by side, to real planes, and those to another size.

`cython_ext.reference_tags` defines what they compute, bit for bit.
"""

ctypedef fused stored:
    float
    signed char


def unpack_float(
    const float[:, ::1] rows,
    Py_ssize_t channels,
    const float[::1] real,
    const int[::1] partner,
    bint mirrored,
    float[:, :, ::1] out,
):
    """Float maps, rows of ``width * channels``, into `out`."""
    with nogil:
        unpack(rows, channels, real, partner, mirrored, out)


def unpack_int8(
    const signed char[:, ::1] rows,
    Py_ssize_t channels,
    const float[::1] real,
    const int[::1] partner,
    bint mirrored,
    float[:, :, ::1] out,
):
    """int8 maps through a table of 256 real values into `out`."""
    with nogil:
        unpack(rows, channels, real, partner, mirrored, out)


def resize(
    const float[:, :, ::1] planes,
    const int[:, ::1] down,
    const float[::1] down_weight,
    const int[:, ::1] across,
    const float[::1] across_weight,
    float[:, ::1] wide,
    float[:, :, ::1] out,
):
    """Planes bilinearly into `out`; along each axis two source positions and the weight of the second."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(planes.shape[0]):
            widen(planes, k, across, across_weight, wide)
            heighten(wide, down, down_weight, out, k)


cdef void unpack(
    const stored[:, ::1] rows,
    Py_ssize_t channels,
    const float[::1] real,
    const int[::1] partner,
    bint mirrored,
    float[:, :, ::1] out,
) noexcept nogil:
    """Plane k holds channel ``partner[k]``, of mirrored maps from right to left."""
    cdef Py_ssize_t y, x, k, at, step, width = out.shape[2]
    for y in range(out.shape[1]):
        for k in range(out.shape[0]):
            at = partner[k]
            step = channels
            if mirrored:
                at += (width - 1) * channels
                step = -channels
            for x in range(width):
                if stored is float:
                    out[k, y, x] = rows[y, at]
                else:
                    out[k, y, x] = real[<Py_ssize_t>rows[y, at] + 128]
                at += step


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
