"""Columns of blocks put back into a map: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def folded(
    block: tuple[int, int], target: tuple[int, int], columns: int, channels: int = 2, **attributes: Any
) -> Form:
    def build(g: Graph) -> Any:
        wide = g.add("Reshape", g.map(8), g.const([1, 8, 120], np.int64))
        mixed = g.add("MatMul", wide, g.normal(120, columns, scale=0.1))
        rows = g.add("MatMul", g.normal(channels * block[0] * block[1], 8), mixed)
        return g.add("Col2Im", rows, g.const(target, np.int64), g.const(block, np.int64), **attributes)

    return build


FORMS.add("blocks", folded((2, 2), (12, 10), 30, strides=[2, 2]), 18)
FORMS.add("blocks-of-three", folded((3, 3), (9, 6), 6, strides=[3, 3]), 18)
FORMS.add("oblong", folded((2, 5), (12, 10), 12, strides=[2, 5]), 18)
FORMS.add("overlapping", folded((3, 3), (6, 7), 20), 18)
FORMS.add("padded", folded((3, 3), (6, 5), 30, pads=[1, 1, 1, 1]), 18)
FORMS.add("blocks-beyond-the-border", folded((3, 3), (6, 6), 4, strides=[3, 3], pads=[1, 1, 1, 1]), 18)
FORMS.add("blocks-beyond-one-border", folded((2, 2), (4, 4), 4, strides=[2, 2], pads=[1, 1, 0, 0]), 18)
FORMS.add("strided", folded((3, 3), (7, 9), 12, strides=[2, 2]), 18)
FORMS.add("dilated", folded((2, 2), (6, 6), 16, dilations=[2, 2]), 18)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
