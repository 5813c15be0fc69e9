# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What the kernels for peaks share: memory, and the steps that fast and exact peaks have in common."""

from cython_ext._scalar cimport stored

cpdef enum:
    OVERFLOW = -1  # the returned count when memory is too small: `reserve` more and call again

cdef enum:
    BLOCK = 32  # values that one branch of a scan decides over
    SUPPORT = 5  # cells, along each axis, that the upsampled pixels of one cell and a ring of 1 depend on
    SIDE = 10  # pixels, along each axis, of such a patch at the largest factor, 8


cdef class PeakBuffers:
    cdef readonly object table_array, starts_array
    cdef float[:, ::1] table, refined  # x, y, score
    cdef int[::1] starts, counts, order, grouped
    cdef double[::1] keys
    cdef int[:, ::1] found  # row, and column * channels + channel, of candidates in scanning order
    cdef float[::1] reals, logs  # of each int8, -128 first
    cdef float[::1] float_limit, float_least, float_most
    cdef signed char[::1] int8_limit, int8_least, int8_most
    cdef unsigned char[:, ::1] large, tall
    cdef float[:, ::1] weights, source, wide, patch


cdef void set_limit(PeakBuffers ws, Py_ssize_t channel, Py_ssize_t channels, float least) noexcept nogil
cdef void by_channel(PeakBuffers ws, Py_ssize_t found, Py_ssize_t channels) noexcept nogil
cdef Py_ssize_t keep(
    PeakBuffers ws, Py_ssize_t count, Py_ssize_t total, Py_ssize_t first, float radius, bint by_x
) noexcept nogil


cdef inline bint above(PeakBuffers ws, Py_ssize_t k, stored value) noexcept nogil:
    if stored is float:
        return value > ws.float_limit[k]
    else:
        return value > ws.int8_limit[k]
