"""The network in PyTorch, in float or with every grid of a plan simulated, so that gradients pass.

Tensors keep TFLite's layout, (N, H, W, C); convolutions see a view of it. A grid is simulated as rounding and clipping
whose gradient is that of clipping alone (straight-through estimator; Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as functional

from quant.quantize.channels import strides_of
from quant.quantize.rules import WEIGHT_AXES
from quant.recipe import RecipeError
from quant.tflite.records import Model, Operator, Tensor

Value: TypeAlias = torch.Tensor
Values = dict[Tensor, Value]
Kernel = Callable[[Operator, list[Any]], Any]

ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "NONE": lambda x: x,
    "RELU": functional.relu,
    "RELU6": functional.relu6,
    "RELU_N1_TO_1": lambda x: x.clamp(-1, 1),
    "RELU_0_TO_1": lambda x: x.clamp(0, 1),
    "TANH": torch.tanh,
}


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute on one thread: with several, the last bits of a convolution differ from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def simulate(
    model: Model,
    image: Value,
    parameters: Mapping[Tensor, Value],
    after: Callable[[Tensor, Value], Value] = lambda tensor, value: value,
    before: Callable[[Operator, int, Value], Value] = lambda op, place, value: value,
) -> Values:
    """Run the network on a batch and return its outputs.

    Parameters
    ----------
    model : Model
        Float.
    image : torch.Tensor, (N, H, W, 3)
    parameters : mapping of Tensor to torch.Tensor
        Every float constant, as `parameters_of` gives them or changed.
    after : callable
        Applied to every computed value, and to the image.
    before : callable
        Applied to the weights of an operator before it uses them.

    Raises
    ------
    RecipeError
        The network has an operator that is not simulated.
    """
    (entry,) = model.inputs.values()
    values: Values = {entry: after(entry, image)}
    left = uses(model)
    for op in model.operators:
        if op.name not in KERNELS:
            where = f"{op.name} ({op.outputs[0].name})"
            raise RecipeError(
                f"{where} cannot be simulated; take a recipe without _out and _fit, as w8c_a8_eq"
            )
        operands = [_operand(t, values, parameters) for t in op.inputs]
        if op.name in WEIGHT_AXES:
            operands[1] = before(op, 1, operands[1])
        results = KERNELS[op.name](op, operands)
        for tensor, value in zip(
            op.outputs, results if isinstance(results, tuple) else (results,), strict=True
        ):
            values[tensor] = after(tensor, ACTIVATIONS[op.activation](value))
        _forget(op, left, values)
    return {tensor: values[tensor] for tensor in model.outputs.values()}


def parameters_of(model: Model) -> Values:
    """Return every float constant of a network as a torch tensor (copies)."""
    constants = (t for t in model.tensors() if t.data is not None and t.dtype.kind == "f")
    return {t: torch.tensor(np.asarray(t.data, np.float32)) for t in constants}  # copies, aligned


def _operand(tensor: Tensor | None, values: Values, parameters: Mapping[Tensor, Value]) -> Any:
    """A float operand as a torch tensor, an integer constant as an array."""
    if tensor is None:
        return None
    if tensor.data is None:
        return values[tensor]
    return parameters[tensor] if tensor.dtype.kind == "f" else tensor.data


def uses(model: Model) -> dict[Tensor, int]:
    """Count the operators that read each tensor; being an output of the network counts as one more."""
    left = {tensor: len(ops) for tensor, ops in model.readers().items()}
    for tensor in model.outputs.values():
        left[tensor] = left.get(tensor, 0) + 1
    return left


def _forget(op: Operator, left: dict[Tensor, int], values: Values) -> None:
    """Let go of what no later operator reads."""
    for tensor in dict.fromkeys(op.inputs):
        if tensor is not None and tensor in values:
            left[tensor] -= 1
            if left[tensor] == 0:
                del values[tensor]


def _same_pads(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME: as many as needed, the odd one behind."""
    total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2


def padded(op: Operator, image: Value, kernel: tuple[int, int], filler: float = 0.0) -> Value:
    """Return (N, C, H, W) with the operator's padding."""
    if op.options["padding"] != "SAME":
        return image
    strides, dilations = pair(op, "stride_h", "stride_w"), pair(op, "dilation_h_factor", "dilation_w_factor")
    height, width = (_same_pads(image.shape[2 + i], kernel[i], strides[i], dilations[i]) for i in (0, 1))
    return functional.pad(image, (*width, *height), value=filler) if any((*height, *width)) else image


def pair(op: Operator, first: str, second: str) -> tuple[int, int]:
    """Return two whole numbers among an operator's options, 1 where they are left out."""
    return op.number(first, 1), op.number(second, 1)


def first(image: Value) -> Value:
    """Return a view with channels first, (N, C, H, W), as PyTorch's convolutions want it."""
    return image.permute(0, 3, 1, 2)


def _last(image: Value) -> Value:
    return image.permute(0, 2, 3, 1)


def _convolution(op: Operator, operands: list[Any]) -> Value:
    image, weights = first(operands[0]), operands[1]
    if op.name == "DEPTHWISE_CONV_2D":
        weights, groups = weights.permute(3, 0, 1, 2), image.shape[1]  # (1, h, w, C) -> (C, 1, h, w)
    else:
        weights = weights.permute(0, 3, 1, 2)
        groups = image.shape[1] // weights.shape[1]
    image = padded(op, image, tuple(weights.shape[2:]))
    return _last(
        functional.conv2d(
            image,
            weights,
            operands[2] if len(operands) > 2 else None,
            pair(op, "stride_h", "stride_w"),
            0,
            pair(op, "dilation_h_factor", "dilation_w_factor"),
            groups,
        )
    )


def _transposed(op: Operator, operands: list[Any]) -> Value:
    weights, image = operands[1].permute(3, 0, 1, 2), first(operands[2])  # (out, h, w, in) -> (in, out, h, w)
    whole = functional.conv_transpose2d(image, weights, None, pair(op, "stride_h", "stride_w"))
    height, width = op.outputs[0].shape[1:3]
    top, left = ((whole.shape[2] - height) // 2, (whole.shape[3] - width) // 2)
    if op.options["padding"] != "SAME":
        top = left = 0
    cut = _last(whole[:, :, max(top, 0) : max(top, 0) + height, max(left, 0) : max(left, 0) + width])
    return cut if len(operands) < 4 or operands[3] is None else cut + operands[3]


def _connected(op: Operator, operands: list[Any]) -> Value:
    image = operands[0]
    rows = image if op.options.get("keep_num_dims") else image.reshape(-1, operands[1].shape[1])
    return functional.linear(rows, operands[1], operands[2] if len(operands) > 2 else None)


def _pool(op: Operator, operands: list[Any]) -> Value:
    kernel, stride = pair(op, "filter_height", "filter_width"), pair(op, "stride_h", "stride_w")
    image = first(operands[0])
    if op.name == "MAX_POOL_2D":
        return _last(functional.max_pool2d(padded(op, image, kernel, -np.inf), kernel, stride))
    ones = padded(op, torch.ones_like(image[:1, :1]), kernel)
    sums, counts = (functional.avg_pool2d(v, kernel, stride) for v in (padded(op, image, kernel), ones))
    return _last(sums / counts)


def _resize(op: Operator, operands: list[Any]) -> Value:
    image = operands[0]
    rows, columns = (
        _mixing(op, n, m) for n, m in zip(image.shape[1:3], op.outputs[0].shape[1:3], strict=True)
    )
    return torch.einsum("ah,nhwc,bw->nabc", rows, image, columns)


def _mixing(op: Operator, before: int, after: int) -> Value:
    """(after, before) shares of the input cells in each output cell, along one axis."""
    place = np.arange(after, dtype=np.float64)
    if op.options.get("align_corners") and after > 1:
        place *= (before - 1) / (after - 1)
    elif op.options.get("half_pixel_centers"):
        place = np.maximum((place + 0.5) * before / after - 0.5, 0)
    else:
        place *= before / after
    low = np.minimum(np.floor(place).astype(int), before - 1)
    high = np.minimum(low + 1, before - 1)
    share = np.zeros((after, before))
    np.add.at(share, (np.arange(after), low), 1 - (place - low))
    np.add.at(share, (np.arange(after), high), place - low)
    return torch.from_numpy(share.astype(np.float32))


def _mean(op: Operator, operands: list[Any]) -> Value:
    axes = tuple(int(a) for a in np.atleast_1d(operands[1]))
    reduce = {"MEAN": torch.mean, "SUM": torch.sum, "REDUCE_MAX": torch.amax}[op.name]
    return reduce(operands[0], dim=axes, keepdim=bool(op.options.get("keep_dims")))


def _reshape(op: Operator, operands: list[Any]) -> Value:
    shape = op.outputs[0].shape
    return operands[0].reshape(-1, *shape[1:]) if shape else operands[0].reshape(())


def _pad(op: Operator, operands: list[Any]) -> Value:
    pads = [int(n) for pair in np.asarray(operands[1])[::-1] for n in pair]
    return functional.pad(operands[0], pads, value=float(operands[2]) if op.name == "PADV2" else 0.0)


def _split(op: Operator, operands: list[Any]) -> tuple[Value, ...]:
    axis = int(np.asarray(operands[0]).item())
    return tuple(operands[1].chunk(len(op.outputs), dim=axis))


def _split_sizes(op: Operator, operands: list[Any]) -> tuple[Value, ...]:
    sizes = [tensor.shape[int(np.asarray(operands[2]).item())] for tensor in op.outputs]
    return tuple(operands[0].split(sizes, dim=int(np.asarray(operands[2]).item())))


def _slice(op: Operator, operands: list[Any]) -> Value:
    begin, shape = np.asarray(operands[1]).tolist(), op.outputs[0].shape
    return operands[0][(slice(None), *(slice(b, b + n) for b, n in zip(begin[1:], shape[1:], strict=True)))]


def _strided(op: Operator, operands: list[Any]) -> Value:
    return operands[0][(slice(None), *strides_of(op)[1:])]


def _to_space(op: Operator, operands: list[Any]) -> Value:
    n, h, w, c = operands[0].shape
    block = op.number("block_size")
    apart = operands[0].reshape(n, h, w, block, block, c // block**2).permute(0, 1, 3, 2, 4, 5)
    return apart.reshape(n, h * block, w * block, -1)


def _to_depth(op: Operator, operands: list[Any]) -> Value:
    n, h, w, c = operands[0].shape
    block = op.number("block_size")
    apart = operands[0].reshape(n, h // block, block, w // block, block, c).permute(0, 1, 3, 2, 4, 5)
    return apart.reshape(n, h // block, w // block, -1)


def _product(op: Operator, operands: list[Any]) -> Value:
    left = operands[0].transpose(-1, -2) if op.options.get("adj_x") else operands[0]
    right = operands[1].transpose(-1, -2) if op.options.get("adj_y") else operands[1]
    return left @ right


def _leaky(op: Operator, operands: list[Any]) -> Value:
    return functional.leaky_relu(operands[0], op.real("alpha"))


def _gelu(op: Operator, operands: list[Any]) -> Value:
    return functional.gelu(operands[0], approximate="tanh" if op.options.get("approximate") else "none")


def _softmax(op: Operator, operands: list[Any]) -> Value:
    return torch.softmax(operands[0] * op.real("beta", 1.0), dim=-1)


def _gather(op: Operator, operands: list[Any]) -> Value:
    return torch.index_select(
        operands[0], op.number("axis", 0), torch.from_numpy(operands[1].astype(np.int64))
    )


def _unary(function: Callable[[Value], Value]) -> Kernel:
    return lambda op, operands: function(operands[0])


def _binary(function: Callable[[Any, Any], Value]) -> Kernel:
    return lambda op, operands: function(operands[0], operands[1])


KERNELS: dict[str, Kernel] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _connected,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "RESIZE_BILINEAR": _resize,
    "MEAN": _mean,
    "SUM": _mean,
    "REDUCE_MAX": _mean,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "PAD": _pad,
    "PADV2": _pad,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided,
    "DEPTH_TO_SPACE": _to_space,
    "SPACE_TO_DEPTH": _to_depth,
    "BATCH_MATMUL": _product,
    "LEAKY_RELU": _leaky,
    "GELU": _gelu,
    "SOFTMAX": _softmax,
    "GATHER": _gather,
    "TRANSPOSE": lambda op, operands: operands[0].permute(*np.asarray(operands[1]).tolist()),
    "CONCATENATION": lambda op, operands: torch.cat(operands, dim=op.number("axis")),
    "ADD": _binary(torch.add),
    "SUB": _binary(torch.sub),
    "MUL": _binary(torch.mul),
    "DIV": _binary(torch.div),
    "MAXIMUM": _binary(torch.maximum),
    "MINIMUM": _binary(torch.minimum),
    "PRELU": lambda op, operands: torch.where(operands[0] > 0, operands[0], operands[0] * operands[1]),
    "LOGISTIC": _unary(torch.sigmoid),
    "TANH": _unary(torch.tanh),
    "ELU": _unary(functional.elu),
    "RELU": _unary(functional.relu),
    "RELU6": _unary(functional.relu6),
    "HARD_SWISH": _unary(functional.hardswish),
    "EXP": _unary(torch.exp),
    "LOG": _unary(torch.log),
    "SQRT": _unary(torch.sqrt),
    "RSQRT": _unary(torch.rsqrt),
    "NEG": _unary(torch.neg),
    "ABS": _unary(torch.abs),
    "SQUARE": _unary(torch.square),
}
