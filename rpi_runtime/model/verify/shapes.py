"""The shapes that operations make of their inputs' shapes, and what they demand of options and constants.

TFLite computes most of it again when it prepares an operation, but XNNPACK takes the declared shapes as they are, and
neither is safe from a stride of 0 or an axis that does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rpi_runtime.model.verify.call import MOST_STEP, Call, Shape, broadcast_shapes, check_bias
from rpi_runtime.model.verify.flatbuffer import want


def dense(call: Call) -> Sequence[Shape | None]:
    """FULLY_CONNECTED: (..., I) by (O, I)."""
    shape, weights = call.shape(0), call.shape(1)
    want(call.options["weights_format"] == 0, "weights shuffled")
    want(len(weights) == 2 and 0 not in weights, f"weights {weights}")
    out, depth = weights
    want(len(shape) > 0 and math.prod(shape) % depth == 0, f"input {shape} for weights {weights}")
    check_bias(call, 2, out)
    if call.options["keep_num_dims"]:
        want(shape[-1] == depth, f"input {shape} for weights {weights}")
        return ((*shape[:-1], out),)
    return ((math.prod(shape) // depth, out),)


def matmul(call: Call) -> Sequence[Shape | None]:
    """BATCH_MATMUL."""
    left, right = list(call.shape(0)), list(call.shape(1))
    want(2 <= len(left) <= 5 and 2 <= len(right) <= 5, f"{len(left)} and {len(right)} dimensions")
    if call.options["adjoint_x"]:
        left[-2:] = left[:-3:-1]
    if call.options["adjoint_y"]:
        right[-2:] = right[:-3:-1]
    want(left[-1] == right[-2], f"{tuple(left)} by {tuple(right)}")
    return ((*broadcast_shapes([tuple(left[:-2]), tuple(right[:-2])]), left[-2], right[-1]),)


def reshape(call: Call) -> Sequence[Shape | None]:
    """RESHAPE, to a constant or to the option."""
    given = call.numbers(1) if len(call.inputs) > 1 else tuple(map(int, call.options["new_shape"]))
    count = math.prod(call.shape(0))
    want(sum(n == -1 for n in given) <= 1 and all(n >= -1 for n in given), f"new shape {given}")
    known = math.prod(n for n in given if n != -1)
    if -1 in given:
        want(known > 0 and count % known == 0, f"{count} values into {given}")
    result = tuple(count // known if n == -1 else n for n in given)
    want(math.prod(result) == count, f"{count} values into {given}")
    return (result,)


def squeeze(call: Call) -> Sequence[Shape | None]:
    """SQUEEZE."""
    shape = call.shape(0)
    axes = {call.axis(int(a), len(shape)) for a in call.options.get("squeeze_dims", ())}
    axes = axes or {i for i, n in enumerate(shape) if n == 1}
    want(all(shape[a] == 1 for a in axes), f"axes {sorted(axes)} of {shape} are not 1")
    return (tuple(n for i, n in enumerate(shape) if i not in axes),)


def expand(call: Call) -> Sequence[Shape | None]:
    """EXPAND_DIMS."""
    (axis,) = call.numbers(1)
    shape = list(call.shape(0))
    shape.insert(call.axis(axis, len(shape) + 1), 1)
    return (tuple(shape),)


def transpose(call: Call) -> Sequence[Shape | None]:
    """TRANSPOSE."""
    shape, order = call.shape(0), call.numbers(1)
    axes = [call.axis(a, len(shape)) for a in order]
    want(sorted(axes) == list(range(len(shape))), f"order {order} of {len(shape)} dimensions")
    return (tuple(shape[a] for a in axes),)


def pad(call: Call) -> Sequence[Shape | None]:
    """PAD, PADV2, MIRROR_PAD: a constant (rank, 2)."""
    shape, amounts = call.shape(0), call.tensor(1)
    want(
        amounts.data is not None and amounts.shape == (len(shape), 2), f"padding {amounts.shape} for {shape}"
    )
    assert amounts.data is not None
    want(amounts.dtype.kind == "i" and len(shape) <= 5, f"padding of {amounts.dtype} for {shape}")
    pairs = amounts.data.tolist()
    want(all(0 <= v <= MOST_STEP for pair in pairs for v in pair), f"padding {pairs}")
    if "mode" in call.options:
        most = 0 if call.options["mode"] == 0 else 1
        want(call.options["mode"] in (0, 1), f"mode {call.options['mode']}")
        room = all(max(pair) < n + most for n, pair in zip(shape, pairs, strict=True))
        want(room, f"mirrored by {pairs} of {shape}")
    return (tuple(n + before + after for n, (before, after) in zip(shape, pairs, strict=True)),)


def concatenate(call: Call) -> Sequence[Shape | None]:
    """CONCATENATION."""
    first = call.shape(0)
    axis = call.axis(call.options["axis"], len(first))
    total = 0
    for index in range(len(call.inputs)):
        shape = call.shape(index)
        want(len(shape) == len(first), f"{shape} beside {first}")
        alike = all(a == b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis)
        want(alike, f"{shape} beside {first} along axis {axis}")
        total += shape[axis]
    return ((*first[:axis], total, *first[axis + 1 :]),)


def split(call: Call) -> Sequence[Shape | None]:
    """SPLIT: equal parts."""
    (axis,) = call.numbers(0)
    return _parts(call, call.shape(1), axis, None)


def split_v(call: Call) -> Sequence[Shape | None]:
    """SPLIT_V: parts of given sizes."""
    (axis,) = call.numbers(2)
    return _parts(call, call.shape(0), axis, call.numbers(1))


def _parts(call: Call, shape: Shape, axis: int, sizes: tuple[int, ...] | None) -> Sequence[Shape]:
    axis, count = call.axis(axis, len(shape)), len(call.outputs)
    want(call.options["parts"] == count, f"{call.options['parts']} parts, {count} outputs")
    if sizes is None:
        want(shape[axis] % count == 0, f"{shape[axis]} in {count} parts")
        sizes = (shape[axis] // count,) * count
    else:
        want(sum(n == -1 for n in sizes) <= 1 and all(n >= -1 for n in sizes), f"parts {sizes}")
        rest = shape[axis] - sum(n for n in sizes if n != -1)
        sizes = tuple(rest if n == -1 else n for n in sizes)
        want(len(sizes) == count and sum(sizes) == shape[axis], f"parts {sizes} of {shape[axis]}")
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]


def pack(call: Call) -> Sequence[Shape | None]:
    """PACK."""
    first = call.shape(0)
    want(call.options["count"] == len(call.inputs), f"count {call.options['count']}")
    want(all(call.shape(i) == first for i in range(len(call.inputs))), "inputs of different shapes")
    shape = list(first)
    shape.insert(call.axis(call.options["axis"], len(first) + 1), len(call.inputs))
    return (tuple(shape),)


def unpack(call: Call) -> Sequence[Shape | None]:
    """UNPACK."""
    shape = call.shape(0)
    axis = call.axis(call.options["axis"], len(shape))
    want(
        call.options["count"] == shape[axis] == len(call.outputs), f"count {call.options['count']} of {shape}"
    )
    return ((*shape[:axis], *shape[axis + 1 :]),) * len(call.outputs)


def reduce(call: Call) -> Sequence[Shape | None]:
    """MEAN, SUM, REDUCE_MAX and their kind."""
    shape = call.shape(0)
    axes = {call.axis(a, len(shape)) for a in call.numbers(1)} if shape else set()
    want(all(shape[a] > 0 for a in axes), f"{shape} reduced along {sorted(axes)}")
    if call.options["keep_dims"]:
        return (tuple(1 if i in axes else n for i, n in enumerate(shape)),)
    return (tuple(n for i, n in enumerate(shape) if i not in axes),)


def extremum(call: Call) -> Sequence[Shape | None]:
    """ARG_MAX, ARG_MIN."""
    shape = call.shape(0)
    (axis,) = call.numbers(1)
    axis = call.axis(axis, len(shape))
    want(shape[axis] > 0, f"{shape} along {axis}")
    return ((*shape[:axis], *shape[axis + 1 :]),)


def gather(call: Call) -> Sequence[Shape | None]:
    """GATHER; constant indices must exist."""
    shape, indices = call.shape(0), call.tensor(1)
    axis = call.axis(call.options["axis"], len(shape))
    batch = call.options["batch_dims"]
    want(0 <= batch <= min(axis, len(indices.shape)), f"{batch} batch dimensions")
    want(shape[:batch] == indices.shape[:batch], f"indices {indices.shape} for {shape}")
    if indices.data is not None and indices.data.size:
        low, high = int(indices.data.min()), int(indices.data.max())
        want(low >= 0 and high < shape[axis], f"indices {low} to {high} of {shape[axis]}")
    return ((*shape[:axis], *indices.shape[batch:], *shape[axis + 1 :]),)


def cut(call: Call) -> Sequence[Shape | None]:
    """SLICE; begin and size are constants."""
    shape, begin, size = call.shape(0), call.numbers(1), call.numbers(2)
    want(len(begin) == len(size) == len(shape) <= 5, f"begin {begin}, size {size} of {shape}")
    result = []
    for n, start, count in zip(shape, begin, size, strict=True):
        length = n - start if count == -1 else count
        want(0 <= start <= n and 0 <= length <= n - start, f"begin {begin}, size {size} of {shape}")
        result.append(length)
    return (tuple(result),)


def strided(call: Call) -> Sequence[Shape | None]:
    """STRIDED_SLICE; with ellipsis and new axes what is declared is taken."""
    shape, options = call.shape(0), call.options
    begin, end, steps = (call.numbers(i) for i in (1, 2, 3))
    want(len(begin) == len(end) == len(steps) <= 5, f"{len(begin)}, {len(end)} and {len(steps)} numbers")
    want(0 not in steps, f"strides {steps}")
    if options["ellipsis_mask"] or options["new_axis_mask"] or options["offset"]:
        return (None,)
    want(len(begin) <= len(shape) <= 5, f"{len(begin)} slices of {shape}")
    result = []
    for i, n in enumerate(shape):
        if i >= len(begin):
            result.append(n)
        elif options["shrink_mask"] >> i & 1:
            want(-n <= begin[i] < n and steps[i] > 0, f"element {begin[i]} of {n}")
        else:
            first = None if options["begin_mask"] >> i & 1 else begin[i]
            last = None if options["end_mask"] >> i & 1 else end[i]
            result.append(len(range(*slice(first, last, steps[i]).indices(n))))
    return (tuple(result),)


def tile(call: Call) -> Sequence[Shape | None]:
    """TILE."""
    shape, times = call.shape(0), call.numbers(1)
    want(len(times) == len(shape) and all(0 < t <= MOST_STEP for t in times), f"{times} times {shape}")
    return (tuple(n * t for n, t in zip(shape, times, strict=True)),)


def broadcast_to(call: Call) -> Sequence[Shape | None]:
    """BROADCAST_TO."""
    target = call.numbers(1)
    want(all(n > 0 for n in target), f"to {target}")
    want(broadcast_shapes([call.shape(0), target]) == target, f"{call.shape(0)} to {target}")
    return (target,)


def top(call: Call) -> Sequence[Shape | None]:
    """TOPK_V2: values and indices of the largest along the last axis."""
    shape = call.shape(0)
    (count,) = call.numbers(1)
    want(len(shape) > 0 and 0 < count <= shape[-1], f"{count} of {shape}")
    return ((*shape[:-1], count),) * 2


def cumulate(call: Call) -> Sequence[Shape | None]:
    """CUMSUM."""
    (axis,) = call.numbers(1)
    call.axis(axis, len(call.shape(0)))
    return (call.shape(0),)


def describe(call: Call) -> Sequence[Shape | None]:
    """SHAPE."""
    return ((len(call.shape(0)),),)


def gather_nd(call: Call) -> Sequence[Shape | None]:
    """GATHER_ND; the kernel looks at the indices' values."""
    shape, indices = call.shape(0), call.shape(1)
    want(len(indices) > 0 and 0 < indices[-1] <= len(shape), f"indices {indices} of {shape}")
    return ((*indices[:-1], *shape[indices[-1] :]),)
