"""What a network's file holds, and the beginning of a card for it.

A head is where a network ends before its decoding: a map that comes from a convolution (or another operator with
weights) behind which there is no further one. A convolution whose result is no map, as the one that takes the
expectation of a box's bins, belongs to the decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quant.tflite.records import Model

WEIGHTED = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV",
    "FULLY_CONNECTED",
    "Conv",
    "ConvTranspose",
    "Gemm",
}
KEEPING = {
    "LOGISTIC", "Sigmoid", "Identity", "RELU", "Relu", "Transpose", "TRANSPOSE", "MUL", "ADD", "Mul", "Add",
    "DEQUANTIZE", "Resize", "RESIZE_BILINEAR", "BatchNormalization",
}  # fmt: skip
CONVOLUTIONS = {"CONV_2D", "Conv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedOperation:
    """One operation: its kind, the names that it reads, and the names and shapes that it makes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A map, or another tensor, that a card could name.

    Attributes
    ----------
    name : str
    shape : tuple of int
    channels, stride : int
        0 where it is no map.
    axes : {"hwc", "chw", ""}
    inner : bool
        Whether it lies inside the network.
    """

    name: str
    shape: tuple[int, ...]
    channels: int = 0
    stride: int = 0
    axes: str = ""
    inner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDescription:
    """What a file holds.

    Attributes
    ----------
    kind : str
        As ``ONNX, opset 17, 269 nodes``.
    inputs, outputs : tuple of str
        One line each.
    size : (width, height)
        Size of the image.
    heads : tuple of Head
    whole : bool
        Whether the image has whole numbers, 0 to 255.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size: tuple[int, int]
    heads: tuple[Head, ...]
    whole: bool = False


def find_heads(
    steps: Sequence[DescribedOperation], outputs: Sequence[str], size: tuple[int, int]
) -> tuple[Head, ...]:
    """Return the outputs that are maps, and inside the network the last weighted operators on the way to the others."""
    shapes = dict(pair for step in steps for pair in step.outputs)
    steps = [step for step in steps if not _decodes(step, size)]
    weighted_behind = _weighted_behind(steps)
    heads = {name: as_head(name, shapes[name], size) for name in outputs if name in shapes}
    covered: set[str] = set()
    makers = {name: step for step in steps for name, _ in step.outputs}
    for name in [n for n in heads if heads[n].stride]:
        while name in makers and (makers[name].kind in KEEPING or makers[name].kind in WEIGHTED):
            covered.add(name)
            if makers[name].kind in WEIGHTED:
                break
            name = next((n for n in makers[name].inputs if n in makers), "")
    for step in steps:
        name, shape = step.outputs[0]
        if step.kind in WEIGHTED and not weighted_behind[name] and name not in covered and name not in heads:
            heads[name] = replace(as_head(name, shape, size), inner=True)
    return tuple(heads.values())


def _decodes(step: DescribedOperation, size: tuple[int, int]) -> bool:
    """Whether a convolution works on something else than a map of the image."""
    return step.kind in CONVOLUTIONS and not as_head(*step.outputs[0], size).stride


def _weighted_behind(steps: Sequence[DescribedOperation]) -> dict[str, bool]:
    """Whether an operator with weights lies anywhere behind a value."""
    behind: dict[str, bool] = {}
    for step in reversed(steps):
        found = step.kind in WEIGHTED or any(behind.get(name, False) for name, _ in step.outputs)
        for name in step.inputs:
            behind[name] = behind.get(name, False) or found
    return {name: behind.get(name, False) for step in steps for name, _ in step.outputs}


def as_head(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> Head:
    """A tensor with its channels and stride, where it is a map of an image of this size."""
    width, height = size
    if len(shape) == 4 and shape[0] == 1:
        for axes, (rows, columns, channels) in (("chw", (2, 3, 1)), ("hwc", (1, 2, 3))):
            stride = round(width / shape[columns])
            if stride and (-(-height // stride), -(-width // stride)) == (shape[rows], shape[columns]):
                return Head(name=name, shape=shape, channels=shape[channels], stride=stride, axes=axes)
    return Head(name=name, shape=shape)


def describe_tflite(model: Model) -> FileDescription:
    """Describe a .tflite."""
    steps = [
        DescribedOperation(
            kind=op.name,
            inputs=tuple(t.name for t in op.inputs if t is not None),
            outputs=tuple((t.name, t.shape) for t in op.outputs),
        )
        for op in model.operators
    ]
    (_, entry) = next(iter(model.inputs.items()))
    rows, columns = (2, 3) if len(entry.shape) == 4 and entry.shape[1] == 3 else (1, 2)
    size = (entry.shape[columns], entry.shape[rows]) if len(entry.shape) == 4 else (0, 0)
    heads = find_heads(steps, [t.name for t in model.outputs.values()], size)
    names = {
        t.name: name for name, t in model.outputs.items()
    }  # a signature's names may differ from the tensors'
    return FileDescription(
        kind=f"TFLite, {len(model.operators)} operators",
        inputs=tuple(f"{n} {t.dtype.name} {list(t.shape)}" for n, t in model.inputs.items()),
        outputs=tuple(f"{n} {t.dtype.name} {list(t.shape)}" for n, t in model.outputs.items()),
        size=size,
        heads=tuple(replace(h, name=names.get(h.name, h.name)) for h in heads),
    )
