# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Kernels behind `cython_ext.tags`; `cython_ext.reference_tags` defines what they compute, bit for bit.

Heatmaps are real planes. Tags are planes of the same size or a smaller one and are interpolated only at
cells that are asked for. Looking up what a person lacks, a row is passed over when its largest value is no
better than what was found: the distance of tags only takes away.
"""

import numpy as np

from libc.math cimport INFINITY, rint, rintf, sqrt, sqrtf

from cython_ext._assignment cimport Assignment, solve

cdef double FAR = 1e10  # cost of opening a person where there are more candidates than people
cdef double FARTHEST = 1e30  # a larger distance of tags, or NaN, counts as this: costs are finite
cdef enum:
    MOST_TAGS = 8  # components of a tag
    LANES = 16


cdef class TagBuffers:
    """Memory that calls share, with room for one person per candidate."""

    cdef readonly object points_array, scores_array, counts_array
    cdef float[:, :, ::1] points
    cdef double[::1] scores
    cdef int[::1] counts
    cdef int[::1] order
    cdef int[:, ::1] cell  # y * width + x of each type's candidates, the highest first
    cdef float[:, ::1] value
    cdef float[:, :, ::1] tag
    cdef int[::1] candidates
    cdef float[:, ::1] row_highest  # largest value of each row of each type
    cdef float[::1] keys  # the first component of the tag that opened a person
    cdef int[:, ::1] place  # cell of each of a person's keypoints, or -1
    cdef float[:, ::1] tag_sum
    cdef int[::1] tag_count
    cdef double[:, ::1] distance
    cdef Assignment assignment
    cdef int[:, ::1] down, across  # cells of the tags around each row and column
    cdef float[::1] down_weight, across_weight
    cdef float peak_threshold, refine_least
    cdef double tag_threshold
    cdef Py_ssize_t most, half
    cdef bint adjust, refine

    def __init__(self, rules):
        cdef Py_ssize_t keypoints = rules.keypoints, most = rules.max_people, people = keypoints * most
        self.points_array = np.zeros((people, keypoints, 3), np.float32)
        self.scores_array = np.zeros(people)
        self.counts_array = np.zeros(people, np.int32)
        self.points, self.scores, self.counts = self.points_array, self.scores_array, self.counts_array
        self.order = rules.order_table()
        self.cell = np.zeros((keypoints, most), np.int32)
        self.value = np.zeros((keypoints, most), np.float32)
        self.tag = np.zeros((keypoints, most, MOST_TAGS), np.float32)
        self.candidates = np.zeros(keypoints, np.int32)
        self.keys = np.zeros(people, np.float32)
        self.place = np.zeros((people, keypoints), np.int32)
        self.tag_sum = np.zeros((people, MOST_TAGS), np.float32)
        self.tag_count = np.zeros(people, np.int32)
        self.distance = np.zeros((most, most))
        self.assignment = Assignment(most)
        self.peak_threshold, self.refine_least = rules.peak_threshold, rules.refine_least
        self.tag_threshold = rules.tag_threshold
        self.most, self.half = most, rules.nms_size // 2
        self.adjust, self.refine = rules.adjust, rules.refine

    def fit(self, down, down_weight, across, across_weight):
        """Take where the rows and columns of heatmaps lie between those of tags."""
        self.down, self.down_weight = down, down_weight
        self.across, self.across_weight = across, across_weight
        self.row_highest = np.zeros((self.order.shape[0], len(down_weight)), np.float32)


def group(TagBuffers ws, const float[:, :, ::1] heatmaps, const float[:, :, :, ::1] tags):
    """People into ``ws.points``, ``ws.scores`` and ``ws.counts``; their number."""
    cdef Py_ssize_t k, p, people = 0
    with nogil:
        for k in range(heatmaps.shape[0]):
            find_candidates(ws, heatmaps, tags, k)
        for k in range(ws.order.shape[0]):
            people = match(ws, ws.order[k], people, tags.shape[0])
        for p in range(people):
            write_person(ws, heatmaps, p)
            if ws.refine:
                look_up(ws, heatmaps, tags, p)
    return people


cdef void find_candidates(
    TagBuffers ws, const float[:, :, ::1] heatmaps, const float[:, :, :, ::1] tags, Py_ssize_t k
) noexcept nogil:
    """The highest peaks of one type, and their tags; those with a tag that is not finite are left out."""
    cdef Py_ssize_t width = heatmaps.shape[2], count = 0, kept = 0, y, x, i, t
    cdef float value
    for y in range(heatmaps.shape[1]):
        ws.row_highest[k, y] = highest_of_row(heatmaps, k, y)
        if not ws.row_highest[k, y] > ws.peak_threshold:
            continue
        for x in range(width):
            value = heatmaps[k, y, x]
            if ws.peak_threshold < value < INFINITY and is_maximum(heatmaps, k, y, x, ws.half):
                count = insert(ws, k, count, y * width + x, value)
    for i in range(count):
        t = read_tag(ws, tags, k, ws.cell[k, i] // width, ws.cell[k, i] % width, ws.tag[k, kept])
        if t == tags.shape[0]:
            ws.cell[k, kept] = ws.cell[k, i]
            ws.value[k, kept] = ws.value[k, i]
            kept += 1
    ws.candidates[k] = <int>kept


cdef inline float highest_of_row(const float[:, :, ::1] heatmaps, Py_ssize_t k, Py_ssize_t y) noexcept nogil:
    """The largest value of a row, infinity included; in lanes, which the compiler can keep side by side."""
    cdef float[LANES] lane
    cdef Py_ssize_t whole = heatmaps.shape[2] // LANES * LANES, x = 0, j
    cdef float value
    for j in range(LANES):
        lane[j] = -INFINITY
    while x < whole:
        for j in range(LANES):
            value = heatmaps[k, y, x + j]
            lane[j] = value if value > lane[j] else lane[j]
        x += LANES
    for x in range(whole, heatmaps.shape[2]):
        value = heatmaps[k, y, x]
        lane[0] = value if value > lane[0] else lane[0]
    for j in range(1, LANES):
        lane[0] = max(lane[0], lane[j])
    return lane[0]


cdef inline bint is_maximum(
    const float[:, :, ::1] heatmaps, Py_ssize_t k, Py_ssize_t y, Py_ssize_t x, Py_ssize_t half
) noexcept nogil:
    """Whether no value of the square around a cell is larger."""
    cdef Py_ssize_t i, j
    cdef float value = heatmaps[k, y, x]
    for i in range(max(y - half, 0), min(y + half + 1, heatmaps.shape[1])):
        for j in range(max(x - half, 0), min(x + half + 1, heatmaps.shape[2])):
            if heatmaps[k, i, j] > value:
                return False
    return True


cdef Py_ssize_t insert(
    TagBuffers ws, Py_ssize_t k, Py_ssize_t count, Py_ssize_t cell, float value
) noexcept nogil:
    """Put a candidate behind those that are as high; the last one makes way when there is no room."""
    cdef Py_ssize_t i
    if count == ws.most:
        if not value > ws.value[k, count - 1]:
            return count
        count -= 1
    i = count
    while i > 0 and ws.value[k, i - 1] < value:
        ws.cell[k, i] = ws.cell[k, i - 1]
        ws.value[k, i] = ws.value[k, i - 1]
        i -= 1
    ws.cell[k, i] = <int>cell
    ws.value[k, i] = value
    return count + 1


cdef Py_ssize_t read_tag(
    TagBuffers ws,
    const float[:, :, :, ::1] tags,
    Py_ssize_t k,
    Py_ssize_t y,
    Py_ssize_t x,
    float[::1] out,
) noexcept nogil:
    """Interpolate the tag at a cell of the heatmaps; how many components are finite, up to the first not."""
    cdef Py_ssize_t t
    for t in range(tags.shape[0]):
        out[t] = component(ws, tags, t, k, y, x)
        if not -INFINITY < out[t] < INFINITY:
            return t
    return tags.shape[0]


cdef inline float component(
    TagBuffers ws, const float[:, :, :, ::1] tags, Py_ssize_t t, Py_ssize_t k, Py_ssize_t y, Py_ssize_t x
) noexcept nogil:
    cdef Py_ssize_t top = ws.down[0, y], bottom = ws.down[1, y]
    cdef Py_ssize_t left = ws.across[0, x], right = ws.across[1, x]
    cdef float down = ws.down_weight[y], up = <float>1 - down
    cdef float across = ws.across_weight[x], back = <float>1 - across
    return up * (back * tags[t, k, top, left] + across * tags[t, k, top, right]) + down * (
        back * tags[t, k, bottom, left] + across * tags[t, k, bottom, right]
    )


cdef Py_ssize_t match(
    TagBuffers ws, Py_ssize_t k, Py_ssize_t people, Py_ssize_t width
) noexcept nogil:
    """Give one type's candidates to people, by `width` components of tags; the number of people after it."""
    cdef Py_ssize_t count = ws.candidates[k], known = min(people, ws.most), row, column, p
    if count == 0:
        return people
    if known > 0:
        fill_costs(ws, k, count, known, width)
        solve(ws.assignment, max(count, known))
    for row in range(count):
        column = ws.assignment.star_of_row[row] if known > 0 else known
        if column < known and ws.distance[row, column] < ws.tag_threshold:
            p = column
        else:
            p = find_key(ws, ws.tag[k, row, 0], people)
            if p == people:
                open_person(ws, p, ws.tag[k, row, 0])
                people += 1
            forget_tags(ws, p, width)
        ws.place[p, k] = ws.cell[k, row]
        add_tag(ws, p, k, row, width)
    return people


cdef void fill_costs(
    TagBuffers ws, Py_ssize_t k, Py_ssize_t count, Py_ssize_t known, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t size = max(count, known), row, column, t
    cdef double square, apart
    for row in range(size):
        for column in range(size):
            if row >= count:
                ws.assignment.table[row, column] = 0
            elif column >= known:
                ws.assignment.table[row, column] = FAR
            else:
                square = 0
                for t in range(width):
                    apart = <double>ws.tag[k, row, t] - mean_tag(ws, column, t)
                    square += apart * apart
                square = sqrt(square)
                ws.distance[row, column] = square if square < FARTHEST else FARTHEST
                ws.assignment.table[row, column] = (
                    rint(ws.distance[row, column]) * 100 - <double>ws.value[k, row]
                )


cdef inline float mean_tag(TagBuffers ws, Py_ssize_t person, Py_ssize_t t) noexcept nogil:
    return ws.tag_sum[person, t] / <float>ws.tag_count[person]


cdef Py_ssize_t find_key(TagBuffers ws, float key, Py_ssize_t people) noexcept nogil:
    """The person whom this very key opened, or `people`."""
    cdef Py_ssize_t p = 0
    while p < people and ws.keys[p] != key:
        p += 1
    return p


cdef void open_person(TagBuffers ws, Py_ssize_t p, float key) noexcept nogil:
    cdef Py_ssize_t k
    ws.keys[p] = key
    for k in range(ws.place.shape[1]):
        ws.place[p, k] = -1


cdef void forget_tags(TagBuffers ws, Py_ssize_t p, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t t
    ws.tag_count[p] = 0
    for t in range(width):
        ws.tag_sum[p, t] = 0


cdef void add_tag(
    TagBuffers ws, Py_ssize_t p, Py_ssize_t k, Py_ssize_t row, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t t
    ws.tag_count[p] += 1
    for t in range(width):
        ws.tag_sum[p, t] += ws.tag[k, row, t]


cdef void write_person(TagBuffers ws, const float[:, :, ::1] heatmaps, Py_ssize_t p) noexcept nogil:
    """Positions and values of a person's keypoints, their number and mean value."""
    cdef Py_ssize_t k
    ws.scores[p] = ws.counts[p] = 0
    for k in range(heatmaps.shape[0]):
        if ws.place[p, k] < 0:
            ws.points[p, k, 0] = ws.points[p, k, 1] = ws.points[p, k, 2] = 0
        else:
            write_point(ws, heatmaps, p, k, ws.place[p, k], ws.adjust)
            ws.scores[p] += ws.points[p, k, 2]
            ws.counts[p] += 1
    ws.scores[p] /= <double>heatmaps.shape[0]


cdef void write_point(
    TagBuffers ws,
    const float[:, :, ::1] heatmaps,
    Py_ssize_t p,
    Py_ssize_t k,
    Py_ssize_t cell,
    bint adjust,
) noexcept nogil:
    """The middle of a cell, a quarter towards its higher neighbours."""
    cdef Py_ssize_t width = heatmaps.shape[2], y = cell // width, x = cell % width
    cdef float right = heatmaps[k, y, min(x + 1, width - 1)], left = heatmaps[k, y, max(x - 1, 0)]
    cdef float below = heatmaps[k, min(y + 1, heatmaps.shape[1] - 1), x]
    cdef float above = heatmaps[k, max(y - 1, 0), x]
    ws.points[p, k, 0] = <float>x + <float>0.5
    ws.points[p, k, 1] = <float>y + <float>0.5
    ws.points[p, k, 2] = heatmaps[k, y, x]
    if adjust:
        ws.points[p, k, 0] += <float>0.25 if right > left else <float>-0.25
        ws.points[p, k, 1] += <float>0.25 if below > above else <float>-0.25


cdef void look_up(
    TagBuffers ws, const float[:, :, ::1] heatmaps, const float[:, :, :, ::1] tags, Py_ssize_t p
) noexcept nogil:
    """Find a person's missing keypoints by the mean of the tags that lie at the found ones."""
    cdef Py_ssize_t width = heatmaps.shape[2], k, t, cell
    cdef float[MOST_TAGS] mean
    for t in range(tags.shape[0]):
        mean[t] = 0
        for k in range(heatmaps.shape[0]):
            if ws.place[p, k] >= 0:
                mean[t] += component(ws, tags, t, k, ws.place[p, k] // width, ws.place[p, k] % width)
        mean[t] /= <float>ws.counts[p]
    for k in range(heatmaps.shape[0]):
        if ws.place[p, k] >= 0:
            continue
        cell = best_cell(ws, heatmaps, tags, k, mean)
        if cell >= 0 and heatmaps[k, cell // width, cell % width] > 0:
            write_point(ws, heatmaps, p, k, cell, True)


cdef Py_ssize_t best_cell(
    TagBuffers ws,
    const float[:, :, ::1] heatmaps,
    const float[:, :, :, ::1] tags,
    Py_ssize_t k,
    const float *mean,
) noexcept nogil:
    """The first cell with the largest value less the rounded distance of tags; -1: none above the least."""
    cdef Py_ssize_t found = -1, y, x, t
    cdef float best = ws.refine_least, value, square, apart
    for y in range(heatmaps.shape[1]):
        if not ws.row_highest[k, y] > best:
            continue
        for x in range(heatmaps.shape[2]):
            value = heatmaps[k, y, x]
            if not best < value < INFINITY:
                continue
            square = 0
            for t in range(tags.shape[0]):
                apart = component(ws, tags, t, k, y, x) - mean[t]
                square += apart * apart
            value -= rintf(sqrtf(square))
            if best < value:
                best = value
                found = y * heatmaps.shape[2] + x
    return found
