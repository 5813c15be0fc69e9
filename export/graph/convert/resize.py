"""Enlarging and shrinking of maps.

A resize is linear along each axis: a matrix says what each output is made of. The matrices of ONNX's many modes are
compared with those of what TFLite has, and the cheapest operator that gives the same ones is taken; where none does,
the matrix itself is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.layout import CHANNELS_LAST
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import along, cut, join, pick
from export.graph.node import Node
from quant.tflite.records import Tensor

Matrix = NDArray[np.float64]


@converts("Resize", "Upsample")
def convert_resize(scope: Scope, node: Node) -> None:
    """Along the axes that change, which have to be those of a map."""
    value = scope.input(node)
    before, after = value.shape, node.shape
    changed = [axis for axis in range(len(before)) if before[axis] != after[axis]]
    if len(before) != 4 or any(axis < 2 for axis in changed):
        raise RefusalError(f"it resizes {before} to {after}; expected a map (1, C, H, W) along H and W")
    scales = _scales(scope, node, before)
    tensor = scope.channels_last(node)
    matrices = [axis_matrix(node, scope.opset, before[axis], after[axis], scales[axis]) for axis in (2, 3)]
    scope.keep(node, resize(scope, tensor, matrices), CHANNELS_LAST)


def _scales(scope: Scope, node: Node, before: Sequence[int]) -> list[float]:
    """The factor of each axis: as given, or what the sizes say."""
    given = None
    if node.kind == "Upsample" or scope.opset < 11:
        given = scope.parameter(node, "scales", 1)
    elif node.has(2) and np.size(scope.parameter(node, "scales", 2)):
        given = scope.parameter(node, "scales", 2)
    elif node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise RefusalError("it keeps the aspect ratio; expected keep_aspect_ratio_policy stretch")
    axes = node.get("axes", None)
    if given is None:
        return [a / b for a, b in zip(node.shape, before, strict=True)]
    if axes is None:
        return [float(s) for s in given]
    result = [1.0] * len(before)
    for axis, scale in zip(axes, given, strict=True):
        result[int(axis)] = float(scale)
    return result


def axis_matrix(node: Node, opset: int, size: int, target: int, scale: float) -> Matrix:
    """What each output along one axis is made of, (target, size), as ONNX's Resize is specified."""
    mode = str(node.get("mode", "nearest"))
    old = node.kind == "Upsample" or opset < 11
    transform = "asymmetric" if old else str(node.get("coordinate_transformation_mode", "half_pixel"))
    where = np.array([_coordinate(transform, i, size, target, scale) for i in range(target)])
    if mode == "nearest":
        rounding = "floor" if old else str(node.get("nearest_mode", "round_prefer_floor"))
        if old and scale < 1:  # as ONNX Runtime has it
            rounding = "ceil"
        chosen = np.clip([_rounded(rounding, x) for x in where], 0, size - 1).astype(int)
        return _selection(chosen, size)
    if node.get("antialias", 0) and scale < 1:
        raise RefusalError("it is antialiased; expected antialias 0")
    if mode in ("linear", "bilinear"):
        return _interpolation(where, size, _hat, 1, False)
    if mode == "cubic":
        coefficient = float(node.get("cubic_coeff_a", -0.75))
        exclude = bool(node.get("exclude_outside", 0))
        return _interpolation(where, size, lambda x: _cubic(x, coefficient), 2, exclude)
    raise RefusalError(f"its mode is {mode!r}; expected nearest, linear or cubic")


def _selection(chosen: NDArray[Any], size: int) -> Matrix:
    """The matrix that takes these indices."""
    result = np.zeros((len(chosen), size))
    result[np.arange(len(chosen)), chosen] = 1
    return result


def _coordinate(transform: str, i: int, size: int, target: int, scale: float) -> float:
    """Where output i lies in the input; formulas of ONNX's specification."""
    if transform == "half_pixel":
        return (i + 0.5) / scale - 0.5
    if transform == "pytorch_half_pixel":
        return (i + 0.5) / scale - 0.5 if target > 1 else 0.0
    if transform == "align_corners":
        return i * (size - 1) / (target - 1) if target > 1 else 0.0
    if transform == "asymmetric":
        return i / scale
    if transform == "half_pixel_symmetric":
        exact = scale * size
        return size / 2 * (1 - target / exact) + (i + 0.5) / scale - 0.5
    if transform == "tf_half_pixel_for_nn":
        return (i + 0.5) / scale
    raise RefusalError(f"its coordinate_transformation_mode is {transform!r}; that one is not supported")


def _rounded(rounding: str, x: float) -> int:
    if rounding == "round_prefer_floor":
        return int(np.ceil(x - 0.5))
    if rounding == "round_prefer_ceil":
        return floor(x + 0.5)
    if rounding == "floor":
        return floor(x)
    if rounding == "ceil":
        return int(np.ceil(x))
    raise RefusalError(f"its nearest_mode is {rounding!r}; that one is not supported")


def _interpolation(where: Matrix, size: int, weigh: Any, reach: int, exclude: bool) -> Matrix:
    """Weights of the neighbours of each place; what lies outside counts as the border, or not at all."""
    result = np.zeros((len(where), size))
    for row, x in enumerate(where):
        neighbours = range(floor(x) - reach + 1, floor(x) + reach + 1)
        weights = np.array([weigh(x - n) for n in neighbours])
        if exclude:
            weights = np.where([0 <= n < size for n in neighbours], weights, 0)
            weights = weights / weights.sum()
        for n, weight in zip(neighbours, weights, strict=True):
            result[row, min(max(n, 0), size - 1)] += weight
    return result


def _hat(x: float) -> float:
    return max(1 - abs(x), 0.0)


def _cubic(x: float, a: float) -> float:
    """Keys 1981, equation 4."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resize(scope: Scope, tensor: Tensor, matrices: Sequence[Matrix]) -> Tensor:
    """Apply a matrix along the height and one along the width of a map (1, H, W, C)."""
    repeated = [_repetition(matrix) for matrix in matrices]
    if repeated[0] is not None and repeated[1] is not None and repeated[0][0] == repeated[1][0]:
        tensor = enlarge(scope, tensor, repeated[0][0])
        for axis, (_, first) in ((1, repeated[0]), (2, repeated[1])):
            tensor = cut(scope, tensor, axis, first, matrices[axis - 1].shape[0])
        return tensor
    for kind, options, matrix_of in _OPERATORS:
        if all(np.allclose(m, matrix_of(m.shape[1], m.shape[0]), atol=1e-6) for m in matrices):
            height, width = (m.shape[0] for m in matrices)
            shape = (tensor.shape[0], height, width, tensor.shape[3])
            return scope.emit(kind, [tensor, scope.integers((height, width))], shape, **options)
    for axis, matrix in ((1, matrices[0]), (2, matrices[1])):
        tensor = _along(scope, tensor, axis, matrix)
    return tensor


def _repetition(matrix: Matrix) -> tuple[int, int] | None:
    """By which whole number each index is repeated, and which of the results is the first; None for something else.

    The results are cut where less is asked for: a map of 13 rows becomes one of 25 as one of 26 does.
    """
    target, size = matrix.shape
    chosen = matrix.argmax(axis=1)
    if not np.array_equal(matrix, np.eye(size)[chosen]):
        return None
    factor = ceil(target / size)
    every = np.arange(size).repeat(factor)
    first = next(
        (f for f in range(len(every) - target + 1) if np.array_equal(every[f : f + target], chosen)), None
    )
    return None if first is None else (factor, first)


def enlarge(scope: Scope, tensor: Tensor, factor: int) -> Tensor:
    """Repeat every pixel: copies of the channels side by side, interleaved, which XNNPACK has in INT8."""
    divisor = 2
    while factor > 1:
        while factor % divisor:
            divisor += 1
        batch, height, width, channels = tensor.shape
        copies = [tensor] * (divisor * divisor)
        shape = (batch, height * divisor, width * divisor, channels)
        tensor = scope.emit("DEPTH_TO_SPACE", [join(scope, copies, 3)], shape, block_size=divisor)
        factor //= divisor
    return tensor


def _along(scope: Scope, tensor: Tensor, axis: int, matrix: Matrix) -> Tensor:
    """Apply a matrix along one axis."""
    chosen = matrix.argmax(axis=1)
    if np.array_equal(matrix, np.eye(matrix.shape[1])[chosen]):
        repeated = _repetition(matrix)
        if repeated is None:
            return pick(scope, tensor, axis, list(chosen))
        factor, first = repeated
        return cut(scope, _repeat(scope, tensor, axis, factor), axis, first, matrix.shape[0])
    return along(scope, tensor, axis, matrix)


def _repeat(scope: Scope, tensor: Tensor, axis: int, factor: int) -> Tensor:
    """Repeat every index of one axis."""
    if factor == 1:
        return tensor
    shape = tensor.shape
    inner = scope.reshape(tensor, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    joined = join(scope, [inner] * factor, axis + 1)
    return scope.reshape(joined, [n * factor if i == axis else n for i, n in enumerate(shape)])


def nearest_of_tflite(size: int, target: int, align: bool = False, half: bool = False) -> Matrix:
    """What RESIZE_NEAREST_NEIGHBOR takes, in the float32 that its kernel computes with."""
    scale = np.float32((size - 1) / (target - 1)) if align and target > 1 else np.float32(size / target)
    offset = np.float32(0.5 if half else 0)
    places = (np.arange(target, dtype=np.float32) + offset) * scale
    chosen = np.floor(places + np.float32(0.5)) if align else np.floor(places)
    return _selection(np.minimum(chosen, size - 1).astype(int), size)


def _tflite_bilinear(size: int, target: int, align: bool = False, half: bool = False) -> Matrix:
    """What RESIZE_BILINEAR computes along one axis."""
    scale = (size - 1) / (target - 1) if align and target > 1 else size / target
    where = np.arange(target) * scale if not half else (np.arange(target) + 0.5) * scale - 0.5
    return _interpolation(where, size, _hat, 1, False)  # type: ignore[arg-type]


_HALF: dict[str, bool] = {"half_pixel_centers": True}
_ALIGNED: dict[str, bool] = {"align_corners": True}
# operators of TFLite's with their options and what they compute, cheapest in INT8 first
_OPERATORS: list[tuple[str, dict[str, bool], Any]] = [
    ("RESIZE_BILINEAR", _HALF, lambda size, target: _tflite_bilinear(size, target, half=True)),
    ("RESIZE_BILINEAR", {}, _tflite_bilinear),
    ("RESIZE_BILINEAR", _ALIGNED, lambda size, target: _tflite_bilinear(size, target, align=True)),
]
