"""Steps that the edits share: the readers of tensors, and the operators that are linear in their input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.tflite.records import Model, Operator, Tensor

# operators with weights, and the axis of output channels in the weights
OUTPUTS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0, "DEPTHWISE_CONV_2D": 3}
# positions of their input, weights and bias
PLACES = {"TRANSPOSE_CONV": (2, 1, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers and the producer of each tensor of a model, at the time when this was made."""

    readers: dict[Tensor, list[Operator]]
    producers: dict[Tensor, Operator]
    outputs: frozenset[Tensor]

    @classmethod
    def of(cls, model: Model) -> Readers:
        """Collect them from a model."""
        outputs = frozenset(model.outputs.values())
        return cls(readers=model.readers(), producers=model.producers(), outputs=outputs)

    def only_reader(self, tensor: Tensor) -> Operator | None:
        """Return the only operator that reads a tensor; None if there are others, or if it is an output."""
        found = self.readers.get(tensor, [])
        return found[0] if len(found) == 1 and tensor not in self.outputs else None

    def only_for(self, tensor: Tensor | None, reader: Operator) -> Operator | None:
        """Return the producer of a tensor that only `reader` reads, else None."""
        if tensor is None or self.only_reader(tensor) is not reader:
            return None
        return self.producers.get(tensor)


def places(op: Operator) -> tuple[int, int, int]:
    """Return the positions of input, weights and bias among the inputs of a linear operator."""
    return PLACES.get(op.name, (0, 1, 2))


def weights_of(op: Operator) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return weights and bias of a linear operator if both are float constants, else None."""
    if op.name not in OUTPUTS:
        return None
    _, kernel, bias = (op.inputs[i] if i < len(op.inputs) else None for i in places(op))
    if kernel is None or kernel.data is None or kernel.dtype != np.float32:
        return None
    if bias is None:
        return kernel.data, np.zeros(op.outputs[0].shape[-1], np.float32)
    return None if bias.data is None else (kernel.data, bias.data)


def set_weights(op: Operator, kernel: NDArray[Any], bias: NDArray[Any]) -> None:
    """Give a linear operator new weights. The old ones stay, because other operators may read them."""
    _, at_kernel, at_bias = places(op)
    while len(op.inputs) <= at_bias:
        op.inputs.append(None)
    for place, data, suffix in ((at_kernel, kernel, "weights"), (at_bias, bias, "bias")):
        old = op.inputs[place]
        name = old.name if old is not None else f"{op.outputs[0].name}/{suffix}"
        op.inputs[place] = Tensor.constant(name, np.ascontiguousarray(data, np.float32))


def per_channel(constant: Tensor, channels: int) -> NDArray[np.float64] | None:
    """Return a constant as one number per channel, the last axis; None if it varies along another axis."""
    if constant.data is None or constant.dtype != np.float32:
        return None
    data = constant.data
    if data.size == 1:
        return np.full(channels, float(data.reshape(-1)[0]))
    if data.size == channels and data.shape[-1] == channels:
        return np.asarray(data.reshape(-1), np.float64)
    return None


def operand_and_constant(op: Operator) -> tuple[Tensor, Tensor, bool] | None:
    """Return the computed operand of a binary operator, its constant, and whether the constant comes first."""
    left, right = op.inputs[:2]
    assert left is not None and right is not None
    if right.data is not None and left.data is None:
        return left, right, False
    if left.data is not None and right.data is None:
        return right, left, True
    return None
