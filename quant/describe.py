"""What a network's file holds, and the beginning of a card for it.

A head is where a network ends before its decoding: a map that comes from a convolution (or another operator with
weights) behind which there is no further one. Roles are guessed from the channels alone; they are a beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    "DEQUANTIZE",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
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
    """

    name: str
    shape: tuple[int, ...]
    channels: int = 0
    stride: int = 0
    axes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a file holds.

    Attributes
    ----------
    kind : str
        As ``ONNX, opset 17, 269 nodes``.
    inputs, outputs : tuple of str
        One line each.
    size : (width, height)
        Of the image.
    heads : tuple of Head
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size: tuple[int, int]
    heads: tuple[Head, ...]


def find_heads(steps: Sequence[Step], outputs: Sequence[str], size: tuple[int, int]) -> tuple[Head, ...]:
    """Return the outputs that are maps, and inside the network the last weighted operators on the way to the others."""
    shapes = dict(pair for step in steps for pair in step.outputs)
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
            heads[name] = as_head(name, shape, size)
    return tuple(heads.values())


def _weighted_behind(steps: Sequence[Step]) -> dict[str, bool]:
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


def describe_tflite(model: Model) -> Description:
    """Describe a .tflite."""
    steps = [
        Step(
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
    return Description(
        kind=f"TFLite, {len(model.operators)} operators",
        inputs=tuple(f"{n} {t.dtype.name} {list(t.shape)}" for n, t in model.inputs.items()),
        outputs=tuple(f"{n} {t.dtype.name} {list(t.shape)}" for n, t in model.outputs.items()),
        size=size,
        heads=tuple(
            Head(
                name=names.get(h.name, h.name),
                shape=h.shape,
                channels=h.channels,
                stride=h.stride,
                axes=h.axes,
            )
            for h in heads
        ),
    )


def guess_roles(heads: Sequence[Head]) -> dict[str, str]:
    """Guess what maps are, by their channels; an empty text where nothing fits."""
    maps = [h for h in heads if h.stride]
    strides = sorted({h.stride for h in maps})
    guesses = {h.name: "" for h in maps}
    for stride in strides:
        here = sorted((h for h in maps if h.stride == stride), key=lambda h: h.channels)
        channels = [h.channels for h in here]
        guesses |= _roles_of_one_stride(here, channels, len(strides) > 1)
    return guesses


def _roles_of_one_stride(here: list[Head], channels: list[int], several: bool) -> dict[str, str]:
    if len(channels) == 3 and channels[2] == channels[0] + channels[1]:  # the first two, joined
        here, channels = here[:2], channels[:2]
    if several and len(channels) in (2, 3) and channels[0] <= 80 and 4 in channels[:2]:
        boxes = channels.index(4)
        roles = {here[boxes].name: "boxes", here[1 - boxes].name: "scores"}
        return roles | ({here[2].name: "keypoints"} if len(channels) == 3 else {})
    if several and len(channels) == 3 and channels[2] % 4 == 0 and channels[1] % 3 == 0:
        return {here[0].name: "scores", here[1].name: "keypoints", here[2].name: "boxes"}
    points = [c for c in channels if channels.count(2 * c) == 2]
    if 1 in channels and points:
        roles = {h.name: "heatmaps" for h in here if h.channels == points[0]}
        roles |= {h.name: "centre" for h in here if h.channels == 1}
        pair = [h.name for h in here if h.channels == 2 * points[0]]
        return roles | dict(zip(pair, ("regress", "offset"), strict=True))
    if len(here) == 1 and not several:
        return {here[0].name: "heatmaps"}
    if len(here) == 2 and channels[1] % 2 == 0 and not several:
        return {here[0].name: "heatmaps", here[1].name: "pafs"}
    return {}


def as_text(name: str, found: Description) -> str:
    """What the file holds, and the beginning of its card in TOML."""
    roles = guess_roles(found.heads)
    lines = [f"# {found.kind}"]
    lines += [f"# input   {line}" for line in found.inputs]
    lines += [f"# output  {line}" for line in found.outputs]
    lines += [
        "# Candidate heads follow; delete those that the decoder does not need. Lines with ? are yours."
    ]
    width, height = found.size
    lines += [
        "", f'name = "{name}"', "", "[input]", f"width = {width}", f"height = {height}",
        'channels = "rgb"  # ? or "bgr"', "mean = [0.0, 0.0, 0.0]  # ? (value - mean) * scale, value in 0..255",
        "scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]  # ?",
        'fit = "letterbox"  # ? or "crop": one person cut out of the picture',
        "", "[skeleton]", "keypoints = []  # ? names, in the order of the channels", "edges = []",
    ]  # fmt: skip
    for head in found.heads:
        lines += ["", "[[outputs]]", f"name = {_quoted(head.name)}  # {list(head.shape)}"]
        if head.stride:
            lines += [
                f'role = "{roles.get(head.name) or "?"}"' + ("  # ? a guess" if roles.get(head.name) else "")
            ]
            lines += [f"channels = {head.channels}", f"stride = {head.stride}"]
        else:
            lines += ['role = "?"  # no map: rows, columns or a distribution along one axis; give its axes']
    lines += ["", "[decoder]", 'kind = "?"  # paf, tags, topdown, boxes, boxes+keypoints, centres, simcc']
    return "\n".join(lines)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
