# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.boxes`; `cython_ext.reference_boxes` defines what they compute, bit for bit.

A picture goes through five steps: `collect` (once a level), `rank`, `place` (once a level), `suppress`, and `point`
(once a level).
Maps are read through their strides, so that views of any layout need no copy.
"""

import numpy as np

from libc.math cimport INFINITY, NAN

from cython_ext._scalar cimport LEAST_INT8, LOG2_E, decay, exponential, logistic, real, sort, stored

cdef enum:
    DISTANCES = 0
    CORNERS = 1
    CENTRE_SIZE = 2
    EXPONENTIAL = 3

FORMS = {"distances": DISTANCES, "corners": CORNERS, "centre_size": CENTRE_SIZE, "exponential": EXPONENTIAL}

cdef float MOST_PIXELS = 1e9  # farther out a position is no position


cdef class BoxBuffers:
    """Memory that calls share: as many candidates as there are cells, so that none is ever lost."""

    cdef readonly object boxes_array, scores_array, classes_array, points_array
    cdef float[::1] score  # of each candidate, in the order of levels and cells
    cdef int[::1] level, cell, kind
    cdef double[::1] keys
    cdef int[::1] order
    cdef float[:, ::1] placed  # left, top, right, bottom of the ranked candidates; NaN for a box without an area
    cdef int[::1] kept  # ranks
    cdef float[:, ::1] boxes
    cdef float[::1] scores
    cdef int[::1] classes
    cdef float[:, :, ::1] points
    cdef int[::1] wanted
    cdef readonly Py_ssize_t count, ranked, people
    cdef float threshold, anchor, gain, keypoint_anchor
    cdef double nms_overlap
    cdef int form, bins, numbers
    cdef bint logits

    def __init__(self, rules):
        self.wanted = np.array(rules.classes, np.int32)
        self.threshold, self.logits, self.form = rules.threshold, rules.logits, FORMS[rules.form]
        self.bins, self.anchor, self.nms_overlap = rules.bins, rules.anchor, rules.nms_overlap
        self.gain, self.keypoint_anchor = rules.keypoint_gain, rules.keypoint_anchor
        self.numbers = 3 if rules.visible else 2
        self.placed = np.empty((rules.candidates, 4), np.float32)
        self.kept = np.empty(rules.max_people, np.int32)
        self.boxes_array = np.empty((rules.max_people, 4), np.float32)
        self.scores_array = np.empty(rules.max_people, np.float32)
        self.classes_array = np.empty(rules.max_people, np.int32)
        self.points_array = np.empty((rules.max_people, rules.keypoints, 3), np.float32)
        self.boxes, self.scores = self.boxes_array, self.scores_array
        self.classes, self.points = self.classes_array, self.points_array
        self.fit(0)

    def fit(self, Py_ssize_t cells):
        """Make room for this many cells of all levels."""
        self.score = np.empty(cells, np.float32)
        self.level, self.cell, self.kind, self.order = (np.empty(cells, np.int32) for _ in range(4))
        self.keys = np.empty(cells, np.float64)

    def begin(self):
        """Forget the last picture."""
        self.count = self.ranked = self.people = 0


def collect(
    BoxBuffers ws,
    int level,
    const stored[:, :, :] scores,
    const stored[:, :, :] objectness,
    const float[::1] table,
    const float[::1] object_table,
):
    """Note the cells whose score passes; `objectness` may be None, the tables are those of int8 scores."""
    cdef bint twice = objectness is not None
    if not twice:
        objectness = scores
    with nogil:
        note(ws, level, scores, objectness, twice, table, object_table)


def rank(BoxBuffers ws):
    """Order the candidates by score, ties by position, and keep the number that takes part."""
    with nogil:
        sort(ws.keys, ws.order, ws.count)
    ws.ranked = min(ws.count, ws.placed.shape[0])


def place(
    BoxBuffers ws,
    int level,
    const stored[:, :, :] boxes,
    const float[::1] table,
    const float[::1] weights,
    float unit_x,
    float unit_y,
    float step,
):
    """Boxes of the ranked candidates of one level; `weights` are those of int8 bins by steps below the largest."""
    cdef Py_ssize_t row
    with nogil:
        for row in range(ws.ranked):
            if ws.level[ws.order[row]] == level:
                place_one(ws, row, boxes, table, weights, unit_x, unit_y, step)


def suppress(BoxBuffers ws):
    """Keep the surest of overlapping boxes, up to the wanted number; return how many stay."""
    with nogil:
        keep_apart(ws)
    return ws.people


def point(
    BoxBuffers ws,
    int level,
    const stored[:, :, :] keypoints,
    const float[::1] table,
    const float[::1] visibility,
    float unit_x,
    float unit_y,
    float step,
):
    """Keypoints of the people of one level."""
    cdef Py_ssize_t row
    with nogil:
        for row in range(ws.people):
            if ws.level[ws.order[ws.kept[row]]] == level:
                point_one(ws, row, keypoints, table, visibility, unit_x, unit_y, step)


cdef inline float sureness(stored value, const float[::1] table, bint logits) noexcept nogil:
    """The score that a stored number stands for; the table of int8 holds scores already."""
    if stored is float:
        return logistic(value) if logits else value
    else:
        return table[<Py_ssize_t>value - LEAST_INT8]


cdef void note(
    BoxBuffers ws,
    int level,
    const stored[:, :, :] scores,
    const stored[:, :, :] objectness,
    bint twice,
    const float[::1] table,
    const float[::1] object_table,
) noexcept nogil:
    """Append the cells whose best wanted class passes the threshold."""
    cdef Py_ssize_t y, x, kind
    cdef float score
    for y in range(scores.shape[0]):
        for x in range(scores.shape[1]):
            kind = best_class(ws, scores, y, x)
            if kind < 0:
                continue
            score = sureness(scores[y, x, ws.wanted[kind]], table, ws.logits)
            if twice:
                score = score * sureness(objectness[y, x, 0], object_table, ws.logits)
            if ws.threshold < score < INFINITY:
                ws.score[ws.count] = score
                ws.level[ws.count] = level
                ws.cell[ws.count] = <int>(y * scores.shape[1] + x)
                ws.kind[ws.count] = ws.wanted[kind]
                ws.keys[ws.count] = -<double>score
                ws.count += 1


cdef inline Py_ssize_t best_class(
    BoxBuffers ws, const stored[:, :, :] scores, Py_ssize_t y, Py_ssize_t x
) noexcept nogil:
    """Index of the wanted class with the largest number, ties by order; -1 where all are NaN."""
    cdef Py_ssize_t best = -1, k
    cdef stored value, highest = 0
    for k in range(ws.wanted.shape[0]):
        value = scores[y, x, ws.wanted[k]]
        if value == value and (best < 0 or value > highest):
            best, highest = k, value
    return best


cdef void place_one(
    BoxBuffers ws,
    Py_ssize_t row,
    const stored[:, :, :] boxes,
    const float[::1] table,
    const float[::1] weights,
    float unit_x,
    float unit_y,
    float step,
) noexcept nogil:
    """Place one candidate's box; NaN where it has no area."""
    cdef Py_ssize_t cell = ws.cell[ws.order[row]], y = cell // boxes.shape[1], x = cell % boxes.shape[1]
    cdef float at_x = (<float>x + ws.anchor) * step, at_y = (<float>y + ws.anchor) * step
    cdef float a = side(ws, boxes, y, x, 0, table, weights) * unit_x
    cdef float b = side(ws, boxes, y, x, 1, table, weights) * unit_y
    cdef float c, d
    if ws.form == EXPONENTIAL:
        c = exponential(real(boxes[y, x, 2], &table[0])) * unit_x
        d = exponential(real(boxes[y, x, 3], &table[0])) * unit_y
    else:
        c = side(ws, boxes, y, x, 2, table, weights) * unit_x
        d = side(ws, boxes, y, x, 3, table, weights) * unit_y
    if ws.form == DISTANCES:
        a, b, c, d = at_x - a, at_y - b, at_x + c, at_y + d
    elif ws.form != CORNERS:
        if ws.form == EXPONENTIAL:
            a, b = a + at_x, b + at_y
        c, d = c * <float>0.5, d * <float>0.5
        a, b, c, d = a - c, b - d, a + c, b + d
    if -MOST_PIXELS < a < c < MOST_PIXELS and -MOST_PIXELS < b < d < MOST_PIXELS:
        ws.placed[row, 0], ws.placed[row, 1], ws.placed[row, 2], ws.placed[row, 3] = a, b, c, d
    else:
        ws.placed[row, 0] = NAN


cdef inline float side(
    BoxBuffers ws,
    const stored[:, :, :] boxes,
    Py_ssize_t y,
    Py_ssize_t x,
    Py_ssize_t number,
    const float[::1] table,
    const float[::1] weights,
) noexcept nogil:
    """One of a box's four numbers: itself, or the expectation of its bins under a softmax."""
    cdef Py_ssize_t first = number * ws.bins, i
    cdef stored highest, value
    cdef float weight, total = 0, mean = 0
    if ws.bins == 1:
        return real(boxes[y, x, number], &table[0])
    highest = boxes[y, x, first]
    for i in range(first + 1, first + ws.bins):
        value = boxes[y, x, i]
        highest = value if value > highest else highest
    for i in range(ws.bins):
        weight = share(boxes[y, x, first + i], highest, weights)
        total += weight
        mean += weight * <float>i
    return mean / total


cdef inline float share(stored value, stored highest, const float[::1] weights) noexcept nogil:
    """``exp(value - highest)``; 0 where that is below 2 ** -40; NaN stays NaN."""
    cdef float t
    if stored is float:
        t = (value - highest) * <float>LOG2_E
        return decay(t) if t == t else t
    else:
        return weights[<Py_ssize_t>highest - <Py_ssize_t>value]


cdef void keep_apart(BoxBuffers ws) noexcept nogil:
    """Take the ranked candidates in turn, except those that overlap a taken one of the same class."""
    cdef Py_ssize_t row, other, i, j, side_of
    ws.people = 0
    for row in range(ws.ranked):
        if ws.people == ws.kept.shape[0]:
            return
        if ws.placed[row, 0] != ws.placed[row, 0]:
            continue
        i = ws.order[row]
        j = 0
        while j < ws.people:
            other = ws.kept[j]
            if ws.kind[ws.order[other]] == ws.kind[i] and overlap(ws.placed, row, other) > ws.nms_overlap:
                break
            j += 1
        if j < ws.people:
            continue
        for side_of in range(4):
            ws.boxes[ws.people, side_of] = ws.placed[row, side_of]
        ws.scores[ws.people] = ws.score[i]
        ws.classes[ws.people] = ws.kind[i]
        ws.kept[ws.people] = <int>row
        ws.people += 1


cdef inline double overlap(const float[:, ::1] boxes, Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """Intersection over union of two boxes with an area."""
    cdef double left = max(boxes[a, 0], boxes[b, 0]), top = max(boxes[a, 1], boxes[b, 1])
    cdef double right = min(boxes[a, 2], boxes[b, 2]), bottom = min(boxes[a, 3], boxes[b, 3])
    cdef double common
    if right <= left or bottom <= top:
        return 0
    common = (right - left) * (bottom - top)
    return common / (area(boxes, a) + area(boxes, b) - common)


cdef inline double area(const float[:, ::1] boxes, Py_ssize_t a) noexcept nogil:
    return (<double>boxes[a, 2] - <double>boxes[a, 0]) * (<double>boxes[a, 3] - <double>boxes[a, 1])


cdef void point_one(
    BoxBuffers ws,
    Py_ssize_t row,
    const stored[:, :, :] keypoints,
    const float[::1] table,
    const float[::1] visibility,
    float unit_x,
    float unit_y,
    float step,
) noexcept nogil:
    """One person's keypoints; 0 where a position is not finite."""
    cdef Py_ssize_t cell = ws.cell[ws.order[ws.kept[row]]], k, first
    cdef Py_ssize_t y = cell // keypoints.shape[1], x = cell % keypoints.shape[1]
    cdef float across = (<float>x + ws.keypoint_anchor) * step, down = (<float>y + ws.keypoint_anchor) * step
    cdef float at_x, at_y, seen
    for k in range(ws.points.shape[1]):
        first = k * ws.numbers
        at_x = ws.gain * real(keypoints[y, x, first], &table[0]) * unit_x + across
        at_y = ws.gain * real(keypoints[y, x, first + 1], &table[0]) * unit_y + down
        seen = 1
        if ws.numbers == 3:
            seen = sureness(keypoints[y, x, first + 2], visibility, ws.logits)
        if not (-MOST_PIXELS < at_x < MOST_PIXELS and -MOST_PIXELS < at_y < MOST_PIXELS):
            at_x = at_y = seen = 0
        ws.points[row, k, 0] = at_x
        ws.points[row, k, 1] = at_y
        ws.points[row, k, 2] = seen if -INFINITY < seen < INFINITY else <float>0
