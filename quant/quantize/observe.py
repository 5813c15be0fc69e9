"""What values a network's tensors take on calibration images.

Every tensor to watch is made an output of the network, so that the interpreter computes it as in use, through XNNPACK,
and keeps it: no debugging mode of the interpreter, and none of its reference kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Floats
from quant.quantize.rules import MOVES
from quant.tflite.records import Model, Operator, Tensor
from quant.tflite.write import write_model
from rpi_runtime.model.interpreter import find_module


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Values of one tensor over all images.

    Attributes
    ----------
    images : int
    low_sum, high_sum : float
        Sums of each image's extremes.
    channel_low, channel_high : ndarray, (C,)
        Extremes of each channel (the last axis) over all images.
    """

    images: int = 0
    low_sum: float = 0.0
    high_sum: float = 0.0
    channel_low: Floats = field(default_factory=lambda: np.array([np.inf], np.float32))
    channel_high: Floats = field(default_factory=lambda: np.array([-np.inf], np.float32))

    def add(self, value: Floats) -> None:
        """Take one image's values, (..., C)."""
        rows = value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
        low, high = rows.min(axis=0), rows.max(axis=0)
        self.images += 1
        self.low_sum += float(low.min())
        self.high_sum += float(high.max())
        self.channel_low = np.minimum(self.channel_low, low)
        self.channel_high = np.maximum(self.channel_high, high)

    @property
    def low(self) -> float:
        """The least value of all images."""
        return float(self.channel_low.min())

    @property
    def high(self) -> float:
        """The largest value of all images."""
        return float(self.channel_high.max())

    @property
    def channel_size(self) -> Floats:
        """The largest magnitude of each channel, (C,)."""
        return np.maximum(np.abs(self.channel_low), np.abs(self.channel_high))


class Probe:
    """A network whose tensors can be read after each run.

    Parameters
    ----------
    model : Model
    tensors : list of Tensor
        Computed ones to watch.
    threads : int
    """

    def __init__(self, model: Model, tensors: list[Tensor], threads: int = 2) -> None:
        self._tensors = tensors
        watched = {f"t{place}": tensor for place, tensor in enumerate(tensors)}
        _, module = find_module()
        data = write_model(replace(model, outputs=watched))
        self._interpreter = module.Interpreter(model_content=data, num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._entry,) = self._interpreter.get_input_details()
        self._places = [d["index"] for d in self._interpreter.get_output_details()]

    def run(self, image: Floats) -> Iterator[tuple[Tensor, Floats]]:
        """Run on one input, (1, H, W, 3) real values; yield the watched tensors' real values (copies)."""
        self._interpreter.set_tensor(self._entry["index"], _stored(image, self._entry))
        self._interpreter.invoke()
        for tensor, place in zip(self._tensors, self._places, strict=True):
            value = self._interpreter.get_tensor(place)
            if tensor.quantization is not None and value.dtype != np.float32:
                scale, zero = tensor.quantization.scale, tensor.quantization.zero_point
                value = (value.astype(np.float32) - zero) * np.float32(scale)
            yield tensor, value


def _stored(image: Floats, entry: dict[str, Any]) -> NDArray[Any]:
    scale, zero = entry["quantization"]
    if not scale:
        return image
    return np.asarray(np.clip(np.rint(image / scale) + zero, -128, 127), np.int8)


def observe(
    model: Model, images: Iterable[Floats], integer: AbstractSet[Operator] | None = None, threads: int = 2
) -> dict[Tensor, Statistics]:
    """Return the statistics of the network's inputs and of every float tensor that an operator computes.

    What an INT8 operator only moves (`quant.quantize.rules.MOVES`) has the grid of what it moves, and is left out.

    Parameters
    ----------
    model : Model
        Float.
    images : iterable of ndarray, (1, H, W, 3) float32
        Normalised inputs.
    integer : set of Operator, optional
        Those that will compute in INT8; by default all.
    threads : int
    """
    computed = [
        t
        for op in model.operators
        if op.name not in MOVES or (integer is not None and op not in integer)
        for t in op.outputs
        if t.dtype == np.float32
    ]
    probe = Probe(model, computed, threads)
    (entry,) = model.inputs.values()
    found = {tensor: Statistics() for tensor in (entry, *computed)}
    for image in images:
        found[entry].add(image)
        for tensor, value in probe.run(image):
            found[tensor].add(value)
    return found
