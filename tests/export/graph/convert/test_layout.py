"""Reshapes, transposes and other rearrangements: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def shuffle(groups: int) -> Form:
    def build(g: Graph) -> Any:
        parts = g.add("Reshape", g.map(8), g.const([1, groups, 8 // groups, 12, 10], np.int64))
        turned = g.add("Transpose", parts, perm=[0, 2, 1, 3, 4])
        return g.add("Reshape", turned, g.const([1, 8, 12, 10], np.int64))

    return build


FORMS.add("shuffle-2", shuffle(2), 9, 17)
FORMS.add("shuffle-4", shuffle(4))
for perm in ([0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [3, 2, 1, 0]):
    FORMS.add(
        f"transpose-{''.join(map(str, perm))}",
        lambda g, perm=perm: g.add("Transpose", g.map(), perm=perm),
    )
for shape in (
    [1, 8, 120],
    [1, -1],
    [8, 120],
    [1, 4, 2, 12, 10],
    [1, 8, 6, 2, 5, 2],
    [1, 960, 1, 1],
    [2, 4, 120],
    [0, 0, -1],
    [1, 16, 6, 10],
):
    FORMS.add(f"reshape-{shape}", lambda g, shape=shape: g.add("Reshape", g.map(), g.const(shape, np.int64)))
FORMS.add("flatten", lambda g: g.add("Flatten", g.map(), axis=1))
FORMS.add("flatten-2", lambda g: g.add("Flatten", g.map(), axis=2))
FORMS.add("squeeze-old", lambda g: g.add("Squeeze", g.add("GlobalAveragePool", g.map()), axes=[2, 3]), 11)
FORMS.add(
    "squeeze", lambda g: g.add("Squeeze", g.add("GlobalAveragePool", g.map()), g.const([2, 3], np.int64))
)
FORMS.add("unsqueeze-old", lambda g: g.add("Unsqueeze", g.map(), axes=[1]), 11)
FORMS.add("unsqueeze", lambda g: g.add("Unsqueeze", g.map(), g.const([-1], np.int64)))
FORMS.add("depth-to-space", lambda g: g.add("DepthToSpace", g.map(), blocksize=2), 9, 17)
FORMS.add("depth-to-space-crd", lambda g: g.add("DepthToSpace", g.map(), blocksize=2, mode="CRD"))
FORMS.add("space-to-depth", lambda g: g.add("SpaceToDepth", g.map(), blocksize=2))
FORMS.add(
    "expand",
    lambda g: g.add("Expand", g.add("GlobalAveragePool", g.map()), g.const([1, 8, 5, 7], np.int64)),
)
FORMS.add(
    "expand-rank",
    lambda g: str(
        g.add(
            "Expand", g.add("ReduceMean", g.map(), axes=[0, 1], keepdims=0), g.const([1, 4, 12, 10], np.int64)
        )
    ),
)
FORMS.add("tile", lambda g: g.add("Tile", g.map(), g.const([1, 1, 2, 3], np.int64)))
FORMS.add("tile-channels", lambda g: g.add("Tile", g.map(), g.const([1, 2, 1, 1], np.int64)))


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
