# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernel behind `cython_ext.simcc`; `cython_ext.reference_simcc` defines what it computes, bit for bit."""

import numpy as np

from libc.math cimport INFINITY

from cython_ext._scalar cimport LOG2_E, decay, real, stored


cdef class SimccBuffers:
    """Memory that calls share."""

    cdef readonly object points_array
    cdef float[:, ::1] points  # x, y, value
    cdef bint softmax

    def __init__(self, rules):
        self.points_array = np.zeros((rules.keypoints, 3), np.float32)
        self.points = self.points_array
        self.softmax = rules.softmax


def find(
    SimccBuffers ws,
    const stored[:, :] across,
    const stored[:, :] down,
    const float[:, ::1] reals,
    const float[:, ::1] weights,
):
    """Write the keypoints into ``ws.points``.

    `reals` and `weights` are tables of int8, one row along x and one along y: the real values, and the weights by steps
    below the largest number.
    """
    cdef Py_ssize_t k
    with nogil:
        for k in range(ws.points.shape[0]):
            locate(ws, k, across, down, reals, weights)


cdef void locate(
    SimccBuffers ws,
    Py_ssize_t k,
    const stored[:, :] across,
    const stored[:, :] down,
    const float[:, ::1] reals,
    const float[:, ::1] weights,
) noexcept nogil:
    """One keypoint; 0 where one of its distributions holds no finite number."""
    cdef Py_ssize_t x = highest(across, k), y = highest(down, k)
    cdef float one, other
    ws.points[k, 0] = ws.points[k, 1] = ws.points[k, 2] = 0
    if x < 0 or y < 0:
        return
    if ws.softmax:
        one, other = probability(across, k, x, weights[0]), probability(down, k, y, weights[1])
    else:
        one, other = real(across[k, x], &reals[0, 0]), real(down[k, y], &reals[1, 0])
    ws.points[k, 0], ws.points[k, 1] = <float>x, <float>y
    ws.points[k, 2] = one if one < other else other


cdef Py_ssize_t highest(const stored[:, :] bins, Py_ssize_t k) noexcept nogil:
    """The first bin with the largest finite number; -1 where no number is finite."""
    cdef Py_ssize_t i, best = -1
    cdef stored value, most = 0
    for i in range(bins.shape[1]):
        value = bins[k, i]
        if stored is float:
            if not -INFINITY < value < INFINITY:
                continue
        if best < 0 or value > most:
            best, most = i, value
    return best


cdef float probability(
    const stored[:, :] bins, Py_ssize_t k, Py_ssize_t best, const float[::1] weights
) noexcept nogil:
    """The largest number's part in a softmax; numbers that are not finite are ignored."""
    cdef Py_ssize_t i
    cdef stored most = bins[k, best]
    cdef float total = 0
    for i in range(bins.shape[1]):
        if stored is float:
            total += decay((bins[k, i] - most) * <float>LOG2_E)
        else:
            total += weights[<Py_ssize_t>most - <Py_ssize_t>bins[k, i]]
    return <float>1 / total
