# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""The assignment of least cost (Munkres 1957) with the ties of the `munkres` package 1.1.4.

`cython_ext.reference_tags.assign` defines it. A row or column has one star at most and a row one prime, so
that each is a number, not a table of marks.
"""

import numpy as np

from libc.math cimport INFINITY


cdef class Assignment:
    """Memory for square tables of up to `capacity` rows."""

    def __init__(self, Py_ssize_t capacity):
        self.table = np.zeros((capacity, capacity))
        self.star_of_row = np.zeros(capacity, np.int32)
        self.star_of_column = np.zeros(capacity, np.int32)
        self.prime_of_row = np.zeros(capacity, np.int32)
        self.row_covered = np.zeros(capacity, np.uint8)
        self.column_covered = np.zeros(capacity, np.uint8)


def assign(const double[:, ::1] cost):
    """The column of each row of a table that has at least as many columns as rows."""
    cdef Py_ssize_t count = cost.shape[1], row, column
    cdef Assignment ws = Assignment(count)
    with nogil:
        for row in range(cost.shape[0]):
            for column in range(count):
                ws.table[row, column] = cost[row, column]
        solve(ws, count)
    return np.array(ws.star_of_row)[:cost.shape[0]].tolist()


cdef void solve(Assignment ws, Py_ssize_t count) noexcept nogil:
    """Leave in ``star_of_row`` the column of each of the first `count` rows."""
    cdef Py_ssize_t stars = 0, row, column
    for row in range(count):
        ws.star_of_row[row] = ws.star_of_column[row] = -1
        subtract_least(ws, row, count)
    for row in range(count):
        stars += star_first_zero(ws, row, count)
    while stars < count:
        for row in range(count):
            ws.row_covered[row] = False
            ws.prime_of_row[row] = -1
            ws.column_covered[row] = ws.star_of_column[row] >= 0
        row = prime_until_open(ws, count)
        column = ws.prime_of_row[row]
        exchange(ws, row, column)
        stars += 1


cdef void subtract_least(Assignment ws, Py_ssize_t row, Py_ssize_t count) noexcept nogil:
    cdef double least = INFINITY
    cdef Py_ssize_t column
    for column in range(count):
        if ws.table[row, column] < least:
            least = ws.table[row, column]
    for column in range(count):
        ws.table[row, column] -= least


cdef bint star_first_zero(Assignment ws, Py_ssize_t row, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t column
    for column in range(count):
        if ws.table[row, column] == 0 and ws.star_of_column[column] < 0:
            ws.star_of_row[row] = <int>column
            ws.star_of_column[column] = <int>row
            return True
    return False


cdef Py_ssize_t prime_until_open(Assignment ws, Py_ssize_t count) noexcept nogil:
    """Prime uncovered zeros until one is in a row without a star: that row."""
    cdef Py_ssize_t row = 0, column = 0, found
    while True:
        found = find_zero(ws, count, &row, column)
        if found < 0:
            make_zero(ws, count)
            row = column = 0
            continue
        ws.prime_of_row[row] = <int>found
        if ws.star_of_row[row] < 0:
            return row
        column = ws.star_of_row[row]
        ws.row_covered[row] = True
        ws.column_covered[column] = False


cdef Py_ssize_t find_zero(
    Assignment ws, Py_ssize_t count, Py_ssize_t *row, Py_ssize_t first_column
) noexcept nogil:
    """The last uncovered zero of the first row with one, counted from the given place; -1 without any."""
    cdef Py_ssize_t at = row[0], rows = count, j, column
    while rows > 0:
        rows -= 1
        j = count if not ws.row_covered[at] else 0
        column = first_column
        while j > 0:
            j -= 1
            column = column - 1 if column > 0 else count - 1
            if ws.table[at, column] == 0 and not ws.column_covered[column]:
                row[0] = at
                return column
        at = at + 1 if at + 1 < count else 0
    return -1


cdef void make_zero(Assignment ws, Py_ssize_t count) noexcept nogil:
    """Add the least uncovered value to covered rows and take it from uncovered columns."""
    cdef double least = INFINITY
    cdef Py_ssize_t row, column
    for row in range(count):
        for column in range(count):
            if ws.row_covered[row] or ws.column_covered[column]:
                continue
            if ws.table[row, column] < least:
                least = ws.table[row, column]
    for row in range(count):
        for column in range(count):
            if ws.row_covered[row]:
                ws.table[row, column] += least
            if not ws.column_covered[column]:
                ws.table[row, column] -= least


cdef void exchange(Assignment ws, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    """Star a primed zero; the star that it replaces in its column makes way for its row's prime; so on."""
    cdef Py_ssize_t other
    while True:
        other = ws.star_of_column[column]
        ws.star_of_column[column] = <int>row
        ws.star_of_row[row] = <int>column
        if other < 0:
            return
        row = other
        column = ws.prime_of_row[row]
