# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""An assignment of least cost, for the kernel that groups by tags."""


cdef class Assignment:
    cdef double[:, ::1] table  # the caller writes costs here; solving changes them
    cdef int[::1] star_of_row, star_of_column, prime_of_row  # column, row, column; or -1
    cdef unsigned char[::1] row_covered, column_covered


cdef void solve(Assignment ws, Py_ssize_t count) noexcept nogil
