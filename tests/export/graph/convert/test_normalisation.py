"""Normalisations: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


@FORMS.form(7, 9, 14, 17)
def batch_norm(g: Graph) -> Any:
    return g.add("BatchNormalization", g.map(), g.normal(8), g.normal(8), g.normal(8), g.positive(8))


@FORMS.form()
def batch_norm_of_a_sum(g: Graph) -> Any:
    x = g.map()
    norm = g.add(
        "BatchNormalization",
        g.add("Add", x, g.add("Tanh", x)),
        g.normal(8),
        g.normal(8),
        g.normal(8),
        g.positive(8),
    )
    return g.add("Relu", norm)


FORMS.add("instance-norm", lambda g: g.add("InstanceNormalization", g.map(), g.normal(8), g.normal(8)))
FORMS.add(
    "layer-norm-last",
    lambda g: str(
        g.add("LayerNormalization", g.add("Transpose", g.map(), perm=[0, 2, 3, 1]), g.normal(8), g.normal(8))
    ),
)
FORMS.add(
    "layer-norm-all",
    lambda g: g.add("LayerNormalization", g.map(), g.normal(8, 12, 10), g.normal(8, 12, 10), axis=1),
)
FORMS.add("layer-norm-without-bias", lambda g: g.add("LayerNormalization", g.map(), g.normal(10), axis=-1))
FORMS.add(
    "group-norm-21",
    lambda g: g.add("GroupNormalization", g.map(), g.normal(8), g.normal(8), num_groups=4),
    21,
)


FORMS.add(
    "rms-norm",
    lambda g: g.add("RMSNormalization", g.add("Transpose", g.map(), perm=[0, 2, 3, 1]), g.positive(8)),
    23,
)
FORMS.add("rms-norm-all", lambda g: g.add("RMSNormalization", g.map(), g.normal(8, 12, 10), axis=1), 23)
FORMS.add("mean-variance", lambda g: g.add("MeanVarianceNormalization", g.map()), 9, 17)
FORMS.add("mean-variance-axes", lambda g: g.add("MeanVarianceNormalization", g.map(), axes=[1]), 17)


@FORMS.form(9, 17)
def group_norm_by_instance_norm(g: Graph) -> Any:
    shape = g.const([0, 4, -1], np.int64)
    norm = g.add(
        "InstanceNormalization", g.add("Reshape", g.map(), shape), g.const([1.0] * 4), g.const([0.0] * 4)
    )
    back = g.add("Reshape", norm, g.const([1, 8, 12, 10], np.int64))
    return g.add("Add", g.add("Mul", back, g.normal(8, 1, 1)), g.normal(8, 1, 1))


@FORMS.form()
def layer_norm_by_means(g: Graph) -> Any:
    x = g.add("Transpose", g.map(), perm=[0, 2, 3, 1])
    centred = g.add("Sub", x, g.add("ReduceMean", x, axes=[-1]))
    variance = g.add("ReduceMean", g.add("Pow", centred, g.const(2.0)), axes=[-1])
    unit = g.add("Div", centred, g.add("Sqrt", g.add("Add", variance, g.const(1e-5))))
    return g.add("Add", g.add("Mul", unit, g.normal(8)), g.normal(8))


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
