"""The .tflite while it grows: which tensor holds which value of the ONNX graph, and the operators so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.layout import CHANNELS_LAST, Meeting, Order, Shape, Value, usual_order
from export.graph.convert.refusal import RefusalError
from export.graph.node import STORED, Node
from quant.tflite.records import Operator, Option, Tensor

Constant = NDArray[Any]
Converter = Callable[["Scope", Node], None]


class Scope:
    """What is converted so far.

    Parameters
    ----------
    opset : int
        Version of ONNX's own operators that the graph uses.
    constants : dict
        Values known at export, by name.
    meeting : {"first", "last", "usual"}
        Where axes that a reshape joins go (`export.graph.convert.layout`).

    Attributes
    ----------
    moved : bool
        Whether a reshape had to move axes, so that `meeting` matters.
    operators : list of Operator
        In the order in which they run.
    """

    def __init__(self, opset: int, constants: dict[str, Constant], meeting: Meeting = "first") -> None:
        self.opset = opset
        self.meeting: Meeting = meeting
        self.moved = False
        self.operators: list[Operator] = []
        self.constants = constants
        self._values: dict[str, list[Value]] = {}
        self._names: dict[str, int] = {}
        self._label = ""

    def begin(self, node: Node) -> None:
        """Name what follows after a node's output."""
        self.label(node.outputs[0])

    def label(self, name: str) -> None:
        """Begin the names of the tensors that follow with this one."""
        self._label = name

    def constant(self, node: Node, index: int) -> Constant | None:
        """The value of an input where it is known at export."""
        return self.constants.get(node.inputs[index]) if node.has(index) else None

    def parameter(self, node: Node, name: str, index: int, default: Any = None) -> Any:
        """What later opsets pass as an input and earlier ones as an attribute; it has to be known at export."""
        if name in node.attributes:
            return node.attributes[name]
        if not node.has(index):
            return default
        known = self.constant(node, index)
        if known is None:
            raise RefusalError(
                f"its {name} ({node.inputs[index]}) is computed at run time; expected a constant"
            )
        return known

    def is_constant(self, name: str) -> bool:
        """Whether a value is known at export."""
        return name in self.constants

    def known(self, name: str) -> Constant:
        """A value that is known at export."""
        return self.constants[name]

    def value(self, name: str) -> Value:
        """The tensor of a value, a new one where it is a constant."""
        if name not in self._values:
            if name not in self.constants:
                raise RefusalError(f"its input {name} was not converted")
            data = self.constants[name]
            order = usual_order(data.ndim)
            self._values[name] = [Value(tensor=self.hold(data.transpose(order), name), order=order)]
        return self._values[name][0]

    def input(self, node: Node, index: int = 0) -> Value:
        """The tensor of a node's input."""
        return self.value(node.inputs[index])

    def real_input(self, node: Node) -> Value:
        """The tensor of a node's first input; `RefusalError` where it holds no floats."""
        value = self.input(node)
        if value.tensor.dtype != np.float32:
            raise RefusalError(f"it computes with {value.tensor.dtype}; expected float32")
        return value

    def arranged(self, name: str, order: Order) -> Tensor:
        """The tensor of a value with its axes in this order."""
        if name in self.constants:
            return self.hold(self.constants[name].transpose(order), name)
        for value in self._values.get(name, ()):
            if value.order == order:
                return value.tensor
        tensor = self.rearrange(self.value(name), order)
        self._values[name].append(Value(tensor=tensor, order=order))
        return tensor

    def channels_last(self, node: Node, index: int = 0) -> Tensor:
        """A map (1, H, W, C) among a node's inputs."""
        rank = len(self.input(node, index).order)
        if rank != 4:
            raise RefusalError(f"its input {node.inputs[index]} has {rank} axes; expected a map (1, C, H, W)")
        return self.arranged(node.inputs[index], CHANNELS_LAST)

    def rearrange(self, value: Value, order: Order) -> Tensor:
        """Transpose; where only axes of size one move, a reshape does it."""
        if value.order == order:
            return value.tensor
        permutation = tuple(value.order.index(axis) for axis in order)
        shape = tuple(value.tensor.shape[p] for p in permutation)
        long = [p for p in permutation if value.tensor.shape[p] > 1]
        if long == sorted(long):
            return self.reshape(value.tensor, shape)
        return self.rearrange_axes(value.tensor, permutation)

    def rearrange_axes(self, tensor: Tensor, permutation: Sequence[int]) -> Tensor:
        """Transpose a tensor, whatever its axes are."""
        if tensor.data is not None:
            return self.hold(tensor.data.transpose(permutation))
        shape = [tensor.shape[p] for p in permutation]
        return self.emit("TRANSPOSE", [tensor, self.integers(permutation)], shape)

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The same data in another shape."""
        shape = tuple(int(n) for n in shape)
        if tensor.shape == shape:
            return tensor
        if tensor.data is not None:
            return self.hold(tensor.data.reshape(shape))
        return self.emit("RESHAPE", [tensor, self.integers(shape)], shape, new_shape=shape)

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        dtype: Any = None,
        **options: Option,
    ) -> Tensor:
        """Add an operator with one output."""
        (output,) = self.emit_many(kind, inputs, [tuple(shape)], dtype, **options)
        return output

    def emit_many(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shapes: Sequence[Shape],
        dtype: Any = None,
        **options: Option,
    ) -> list[Tensor]:
        """Add an operator with several outputs, all of one type (by default that of its first input)."""
        if dtype is None:
            dtype = next(t.dtype for t in inputs if t is not None)
        outputs = [
            Tensor(name=self._name(kind.lower()), shape=tuple(int(n) for n in s), dtype=np.dtype(dtype))
            for s in shapes
        ]
        self.operators.append(
            Operator(name=kind, inputs=list(inputs), outputs=outputs, options=dict(options))
        )
        return outputs

    def beside(self, output: Tensor, shape: Sequence[int], dtype: Any) -> Tensor:
        """Add an output to the operator that has just been added, of another type than its first."""
        operator = self.operators[-1]
        assert operator.outputs[-1] is output
        added = Tensor(name=self._name("second"), shape=tuple(shape), dtype=np.dtype(dtype))
        operator.outputs.append(added)
        return added

    def hold(self, data: Any, name: str = "constant") -> Tensor:
        """A constant tensor."""
        array = np.asarray(data)
        array = np.ascontiguousarray(array, STORED.get(array.dtype, array.dtype)).reshape(array.shape)
        return Tensor.constant(self._name(name), array)

    def integers(self, values: Sequence[int]) -> Tensor:
        """A constant vector of int32."""
        return self.hold(np.array(values, np.int32), "sizes")

    def keep(self, node: Node, tensor: Tensor, order: Order, index: int = 0) -> None:
        """Say that a tensor holds a node's output, its axes in this order."""
        name = node.outputs[index]
        value = Value(tensor=tensor, order=order)
        if name in node.shapes and value.shape != node.shapes[name]:
            raise RefusalError(f"it became {value.shape}, ONNX Runtime makes {node.shapes[name]}")
        self._values[name] = [value]

    def feed(self, name: str, tensor: Tensor, order: Order) -> None:
        """Say that a tensor holds an input of the graph."""
        self._values[name] = [Value(tensor=tensor, order=order)]

    def _name(self, suffix: str) -> str:
        base = suffix if not self._label or suffix == "constant" else f"{self._label}/{suffix}"
        count = self._names.get(base, 0)
        self._names[base] = count + 1
        return base if count == 0 else f"{base}.{count}"
