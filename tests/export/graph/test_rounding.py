"""Networks that amplify the rounding of float32: allowed as far as ONNX Runtime's own optimizations change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from export.graph.convert import registry
from export.graph.convert.arithmetic import multiply
from export.graph.from_onnx import MOST, from_onnx
from export.graph.parity import TOLERANCE, Parity
from rpi_runtime.errors import ParityError
from rpi_runtime.model.card import InputSpec
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

SIZE = (12, 10)


def small_differences(offset: float) -> tuple[onnx.ModelProto, str]:
    """What is left of large values without their mean, behind a convolution and a batch norm."""
    g = Graph(17, SIZE)
    x = g.add("Conv", "image", g.normal(8, 3, 3, 3), g.normal(8), pads=[1, 1, 1, 1])
    shift = g.const([offset * (1.0 + i) for i in range(8)], np.float32)
    x = g.add("BatchNormalization", x, g.positive(8), shift, g.normal(8), g.positive(8))
    x = g.add("Conv", x, g.normal(8, 8, 3, 3), g.normal(8))
    output = g.add("Sub", x, g.add("GlobalAveragePool", x))
    return g.model(output), str(output)


def converted(offset: float) -> tuple[Parity, ...]:
    model, output = small_differences(offset)
    return from_onnx(model, "net.onnx", InputSpec(width=SIZE[1], height=SIZE[0]), [output]).parities


def test_what_is_rounded_no_more_than_elsewhere_has_the_usual_tolerance() -> None:
    (parity,) = converted(1.0)
    assert parity.tolerance == TOLERANCE


def test_a_network_that_amplifies_rounding_is_converted_within_its_own_rounding() -> None:
    (parity,) = converted(2e2)
    assert TOLERANCE < parity.relative_error <= parity.tolerance <= MOST


def test_a_converter_that_is_wrong_by_more_than_the_rounding_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = registry.CONVERTERS["Sub"]

    def wrong(scope: Any, node: Any) -> None:
        right(scope, node)
        value = scope.value(node.outputs[0])
        scope.keep(node, multiply(scope, value.tensor, 1.01), value.order)

    monkeypatch.setitem(registry.CONVERTERS, "Sub", wrong)
    with pytest.raises(ParityError, match="differs by"):
        converted(2e2)
