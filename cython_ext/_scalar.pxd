# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Types, constants, arithmetic and sorting that the kernels share; `cython_ext.reference` holds the same in NumPy."""

from libc.math cimport floorf
from libc.string cimport memcpy

# How an interpreter stores a map: as real numbers, or quantized.
ctypedef fused stored:
    float
    signed char

cdef enum:
    LEAST_INT8 = -128

# Cython's module constants are variables; these are constants for the compiler, too.
cdef extern from *:
    """
    #define PIPOSE_LOG2_E 1.4426950408889634
    #define PIPOSE_LEAST_EXPONENT -40
    #define PIPOSE_STEEPEST 4
    #define PIPOSE_LEAST_PART 0.0625f
    """
    const double LOG2_E "PIPOSE_LOG2_E"
    const int LEAST_EXPONENT "PIPOSE_LEAST_EXPONENT"  # a power of 2 with a lower one counts as 0
    const int STEEPEST "PIPOSE_STEEPEST"  # a parabola's sides fall by no more than this power of 2
    const float LEAST_PART "PIPOSE_LEAST_PART"  # 2 ** -STEEPEST


cdef inline float real(stored value, const float *reals) noexcept nogil:
    """The real number that a stored one stands for; `reals` has that of each int8, -128 first."""
    if stored is float:
        return value
    else:
        return reals[<Py_ssize_t>value - LEAST_INT8]


cdef inline float log2(float value) noexcept nogil:
    """Logarithm to the base 2 of a positive number, by its bits: 2 / ln 2 times the series of atanh."""
    cdef int bits = 0, exponent
    cdef float mantissa = 0, s, t
    memcpy(&bits, &value, 4)
    exponent = (bits - 0x3F3504F3) >> 23
    bits = bits - exponent * (1 << 23)
    memcpy(&mantissa, &bits, 4)
    s = (mantissa - <float>1) / (mantissa + <float>1)
    t = s * s
    return <float>exponent + s * (
        ((<float>0.4121985831111324 * t + <float>0.5770780163555854) * t + <float>0.9617966939259756) * t
        + <float>2.8853900817779268
    )


cdef inline float exp2(float x) noexcept nogil:
    """2 to the power of x, which is clipped to 0..1."""
    cdef float y
    x = x if x > 0 else <float>0
    x = x if x < 1 else <float>1
    y = (<float>0.00178836874 * x + <float>0.0091993876) * x + <float>0.0556570544
    return ((y * x + <float>0.240207194) * x + <float>0.693147568) * x + <float>1


cdef inline float power2(float t) noexcept nogil:
    """2 to the power of t, for t from -126 to 0."""
    cdef float whole = floorf(t), scale = 0
    cdef int bits = (<int>whole + 127) << 23
    memcpy(&scale, &bits, 4)
    return exp2(t - whole) * scale


cdef inline float decay(float t) noexcept nogil:
    """2 to the power of t, for t from `LEAST_EXPONENT` to 0; 0 for all other t."""
    return power2(t) if LEAST_EXPONENT < t <= 0 else <float>0


cdef inline Py_ssize_t clip(Py_ssize_t position, Py_ssize_t size) noexcept nogil:
    """Nearest position inside 0..size - 1."""
    if position < 0:
        return 0
    return position if position < size else size - 1


cdef inline void sort(const double[::1] keys, int[::1] order, Py_ssize_t count) noexcept nogil:
    """Write 0..count - 1 into `order` by ascending key, equal keys in ascending order: a Shell sort."""
    cdef Py_ssize_t gap = 1, i, j
    cdef int new
    for i in range(count):
        order[i] = <int>i
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            new = order[i]
            j = i
            while j >= gap and before(keys, new, order[j - gap]):
                order[j] = order[j - gap]
                j -= gap
            order[j] = new
        gap //= 3


cdef inline bint before(const double[::1] keys, int one, int other) noexcept nogil:
    return keys[one] < keys[other] or (keys[one] == keys[other] and one < other)


cdef inline float exponential(float value) noexcept nogil:
    """e to the power of `value`, which is clipped to about -87..87; NaN stays NaN."""
    cdef float t = value * <float>LOG2_E
    if t != t:
        return t
    t = t if t > -125 else <float>-125
    t = t if t < 126 else <float>126
    return power2(t)


cdef inline float logistic(float value) noexcept nogil:
    """1 / (1 + exp(-value)); 0 for NaN."""
    cdef float size = value if value > 0 else -value
    cdef float rest = power2(-size * <float>LOG2_E) if size < 87 else <float>0
    return <float>1 / (<float>1 + rest) if value >= 0 else rest / (<float>1 + rest)
