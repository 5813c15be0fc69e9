"""Write a float network in integers, as a plan says."""

from __future__ import annotations

import numpy as np

from quant.quantize.plan import Plan, same
from quant.quantize.rules import BIAS_PLACES, SUMS, WEIGHT_AXES, image_of
from quant.quantize.weights import integer_bias, integer_operand, integer_weights, weight_scales
from quant.tflite.records import Model, Operator, Quantization, Tensor

INT8 = np.dtype(np.int8)


def to_integers(model: Model, plan: Plan) -> Model:
    """Return the network in INT8; `model` stays as it is.

    Where an operator stays float, its operands are dequantized before it and its results quantized behind it. Inputs
    and outputs of the network are INT8 where the plan has a grid for them.
    """
    return _Writer(model, plan).write()


class _Writer:
    """The integer network, growing operator by operator."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.operators: list[Operator] = []
        self.integer: dict[Tensor, Tensor] = {}
        self.real: dict[Tensor, Tensor] = {}

    def write(self) -> Model:
        inputs = {name: self._declare(tensor) for name, tensor in self.model.inputs.items()}
        for op in self.model.operators:
            if op in self.plan.integer:
                self._integer_operator(op)
            else:
                self._real_operator(op)
        # All outputs are of one type, as decoders read them.
        computed = [t for t in self.model.outputs.values() if t in self.integer or t in self.real]
        real = any(tensor not in self.integer for tensor in computed)
        outputs = {name: self._result(tensor, real) for name, tensor in self.model.outputs.items()}
        return Model(
            inputs=inputs, outputs=outputs, operators=self.operators, description=self.model.description
        )

    def _declare(self, tensor: Tensor) -> Tensor:
        """An input of the network: INT8 where the plan says so."""
        grid = self.plan.grids.get(tensor)
        return self._real(tensor) if grid is None else self._stored(tensor, grid)

    def _stored(self, tensor: Tensor, grid: Quantization) -> Tensor:
        made = Tensor(name=tensor.name, shape=tensor.shape, dtype=INT8, quantization=grid)
        self.integer[tensor] = made
        return made

    def _integer_operator(self, op: Operator) -> None:
        inputs = [self._operand(op, place, tensor) for place, tensor in enumerate(op.inputs)]
        if op.name in WEIGHT_AXES and op.inputs[1] is not None and op.inputs[1].data is not None:
            inputs = self._weighted(op, inputs)
        outputs = [self._stored(t, self.plan.grids[t]) for t in op.outputs]
        self._emit(op, inputs, outputs)

    def _weighted(self, op: Operator, inputs: list[Tensor | None]) -> list[Tensor | None]:
        entry = self.plan.grids[image_of(op)]
        scales = self.plan.weight_scales.get(op)
        if scales is None:
            scales = weight_scales(op, entry, self.plan.grids[op.outputs[0]])
        inputs[1] = integer_weights(op, scales)
        place = BIAS_PLACES[op.name]
        return [*inputs[:place], integer_bias(op, scales, entry)]

    def _operand(self, op: Operator, place: int, tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.dtype != np.float32:
            return tensor
        if tensor.data is not None:
            if op.name in WEIGHT_AXES:
                return tensor
            return integer_operand(tensor, self.plan.grids[op.outputs[0]] if op.name in SUMS else None)
        grid = self.plan.grids[tensor]
        if tensor not in self.integer:
            self._convert("QUANTIZE", self.real[tensor], self._stored(tensor, grid))
        wanted = self.plan.requantized.get((op, place), grid)
        if same(wanted, grid):
            return self.integer[tensor]
        name = f"{tensor.name}/to_{op.outputs[0].name}"
        other = Tensor(name=name, shape=tensor.shape, dtype=INT8, quantization=wanted)
        self._convert("QUANTIZE", self.integer[tensor], other)
        return other

    def _real_operator(self, op: Operator) -> None:
        inputs = [t if t is None or t.data is not None else self._real_operand(t) for t in op.inputs]
        self._emit(op, inputs, [self._real(t) for t in op.outputs])

    def _real_operand(self, tensor: Tensor) -> Tensor:
        if tensor not in self.real:
            self._convert("DEQUANTIZE", self.integer[tensor], self._real(tensor, "/real"))
        return self.real[tensor]

    def _real(self, tensor: Tensor, suffix: str = "") -> Tensor:
        made = Tensor(
            name=tensor.name + suffix, shape=tensor.shape, dtype=tensor.dtype, variable=tensor.variable
        )
        self.real[tensor] = made
        return made

    def _result(self, tensor: Tensor, real: bool) -> Tensor:
        if real and tensor in self.integer:
            return self._real_operand(tensor)
        return self.integer[tensor] if tensor in self.integer else self.real.get(tensor, tensor)

    def _convert(self, name: str, before: Tensor, after: Tensor) -> None:
        self.operators.append(Operator(name=name, inputs=[before], outputs=[after]))

    def _emit(self, op: Operator, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
        made = Operator(
            name=op.name,
            inputs=inputs,
            outputs=outputs,
            options=dict(op.options),
            custom=op.custom,
            version=op.version,
        )
        self.operators.append(made)
