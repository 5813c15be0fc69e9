"""The parts of a .tflite, as plain records that a graph edit may change.

Operators refer to their tensors as objects, never by number. A tensor that no operator refers to is not written, and
no number has to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Constant = NDArray[Any]
Option = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantization:
    """``real = scale * (stored - zero_point)``, for the whole tensor or for each index of one axis.

    Attributes
    ----------
    scales : ndarray, (1,) or (C,) float32
    zero_points : ndarray, as `scales`, int64
    axis : int
        The axis of the C scales.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int = 0

    def __post_init__(self) -> None:
        if self.scales.ndim != 1 or self.scales.shape != self.zero_points.shape:
            raise ValueError(
                f"{self.scales.shape} scales, {self.zero_points.shape} zero points; expected as many"
            )
        if not (np.isfinite(self.scales).all() and (self.scales >= 0).all()):
            raise ValueError("a scale is negative or not finite")

    @classmethod
    def of(cls, scale: float, zero_point: int = 0) -> Quantization:
        """Return a quantization with one scale for the whole tensor."""
        return cls(scales=np.array([scale], np.float32), zero_points=np.array([zero_point], np.int64))

    @property
    def scale(self) -> float:
        """The only scale."""
        (scale,) = self.scales
        return float(scale)

    @property
    def zero_point(self) -> int:
        """The only zero point."""
        (zero,) = self.zero_points
        return int(zero)

    def spread(self, dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scales and zero points in a shape that broadcasts against a tensor with `dimensions` axes."""
        if len(self.scales) == 1:
            return self.scales.reshape(()), self.zero_points.reshape(())
        shape = [1] * dimensions
        shape[self.axis] = -1
        return self.scales.reshape(shape), self.zero_points.reshape(shape)


@dataclass(slots=True, kw_only=True, eq=False)
class Tensor:
    """A tensor. Two tensors are equal only if they are the same object.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : numpy.dtype
        Type of the stored values.
    data : ndarray or None
        The values of a constant, with `shape` and `dtype`; None for a tensor that an operator computes.
    quantization : Quantization or None
    variable : bool
        Whether it keeps its value between invocations.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    data: Constant | None = None
    quantization: Quantization | None = None
    variable: bool = False

    @classmethod
    def constant(cls, name: str, data: Constant, quantization: Quantization | None = None) -> Tensor:
        """Return a constant tensor with the values `data`."""
        return cls(name=name, shape=data.shape, dtype=data.dtype, data=data, quantization=quantization)

    def real(self) -> NDArray[np.float32]:
        """Return the real values of a constant, dequantized if it is quantized."""
        assert self.data is not None
        if self.quantization is None:
            return np.asarray(self.data, np.float32)
        scales, zeros = self.quantization.spread(self.data.ndim)
        return np.asarray((self.data.astype(np.int64) - zeros).astype(np.float32) * scales, np.float32)


@dataclass(slots=True, kw_only=True, eq=False)
class Operator:
    """One operation.

    Attributes
    ----------
    name : str
        Name of the builtin in TFLite's schema, such as ``CONV_2D``; name of a custom operator.
    inputs : list of Tensor or None
        None stands for an optional input that is left out.
    outputs : list of Tensor
    options : dict
        Options of the schema as plain values, names with underscores: ``{"padding": "SAME", "stride_w": 2,
        "fused_activation_function": "RELU6"}``. Options that are left out have the schema's default.
    custom : bytes or None
        Options of a custom operator; None for a builtin.
    version : int
        The smallest version that the file requires; `write_model` raises it if the operands require more.
    """

    name: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: dict[str, Option] = field(default_factory=dict)
    custom: bytes | None = None
    version: int = 1

    def number(self, option: str, default: int = 0) -> int:
        """Return an option that is a whole number."""
        value = self.options.get(option, default)
        assert isinstance(value, int), option
        return int(value)

    def real(self, option: str, default: float = 0.0) -> float:
        """Return an option that is a number."""
        value = self.options.get(option, default)
        assert isinstance(value, int | float), option
        return float(value)

    @property
    def activation(self) -> str:
        """The fused activation; ``NONE`` if the operator has none."""
        return str(self.options.get("fused_activation_function", "NONE"))


@dataclass(slots=True, kw_only=True)
class Model:
    """A network.

    Attributes
    ----------
    inputs, outputs : dict of str to Tensor
        Tensors by their names in the signature.
    operators : list of Operator
        In the order of execution.
    description : str
    """

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: list[Operator]
    description: str = ""

    def copy(self) -> Model:
        """Return a model whose operators can be edited separately; the tensors are the same objects."""
        operators = [replace(op, inputs=list(op.inputs), outputs=list(op.outputs)) for op in self.operators]
        return replace(self, operators=operators, inputs=dict(self.inputs), outputs=dict(self.outputs))

    def tensors(self) -> list[Tensor]:
        """Return every tensor once, in the order in which the network uses it."""
        return list(dict.fromkeys(self._mentions()))

    def producers(self) -> dict[Tensor, Operator]:
        """Map each computed tensor to the operator that computes it."""
        return {tensor: op for op in self.operators for tensor in op.outputs}

    def readers(self) -> dict[Tensor, list[Operator]]:
        """Map each tensor that operators read to them, in order, each operator once."""
        found: dict[Tensor, dict[Operator, None]] = {}
        for op in self.operators:
            for tensor in op.inputs:
                if tensor is not None:
                    found.setdefault(tensor, {})[op] = None
        return {tensor: list(ops) for tensor, ops in found.items()}

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Let every reader of `old`, and the signature's outputs, take `new` instead."""
        for op in self.operators:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]
        self.outputs = {name: new if tensor is old else tensor for name, tensor in self.outputs.items()}

    def drop_unused(self) -> None:
        """Remove the operators whose outputs nothing reads."""
        wanted = set(self.outputs.values())
        kept: list[Operator] = []
        for op in reversed(self.operators):
            if wanted.isdisjoint(op.outputs):
                continue
            wanted.update(tensor for tensor in op.inputs if tensor is not None)
            kept.append(op)
        self.operators = kept[::-1]

    def count_operators(self) -> Counter[str]:
        """Return the number of occurrences of each operator."""
        return Counter(op.name for op in self.operators)

    def _mentions(self) -> Iterator[Tensor]:
        yield from self.inputs.values()
        for op in self.operators:
            yield from (tensor for tensor in op.inputs if tensor is not None)
            yield from op.outputs
        yield from self.outputs.values()
