"""All nodes of a tidy graph, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np

from export.graph.convert import (  # noqa: F401 - each registers its converters
    activations,
    arithmetic,
    attention,
    columns,
    convolution,
    matrix,
    normalisation,
    pooling,
    rearranging,
    reduction,
    resize,
    slicing,
    writing,
)
from export.graph.convert.layout import CHANNELS_LAST, Order
from export.graph.convert.patterns import read_patterns
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import CONVERTERS
from export.graph.convert.scope import Converter, Scope
from export.graph.node import Node
from quant.tflite.records import Model, Tensor
from rpi_runtime.errors import ParityError

IMAGE = "image"


def convert(
    scope: Scope, nodes: list[Node], image: str, size: tuple[int, int], outputs: Mapping[str, Order]
) -> Model:
    """Convert node after node.

    Parameters
    ----------
    scope : Scope
        Nothing but constants in it yet.
    nodes : list of Node
        In topological order.
    image : str
        The graph's input, (1, 3, H, W).
    size : (height, width)
    outputs : mapping of str to tuple of int
        Names of outputs, and the order that their axes shall have.

    Raises
    ------
    ParityError
        An operator, or a form of it, that cannot be converted; the message names it and its tensor.
    """
    entry = Tensor(name=IMAGE, shape=(1, *size, 3), dtype=np.dtype(np.float32))
    scope.feed(image, entry, CHANNELS_LAST)
    for node in read_patterns(nodes, scope.constants, tuple(outputs)):
        scope.begin(node)
        try:
            _converter(node)(scope, node)
        except RefusalError as err:
            raise _refused(node, str(err)) from err
        except (
            Exception
        ) as err:  # a form that nothing foresaw: files hold anything, and its place is worth a line
            raise _refused(node, f"a form that is not known here ({type(err).__name__}: {err})") from err
    return Model(
        inputs={IMAGE: entry},
        outputs={name: scope.arranged(name, order) for name, order in outputs.items()},
        operators=scope.operators,
        description="pipose",
    )


def _refused(node: Node, reason: str) -> ParityError:
    return ParityError(
        f"operator {node.kind} cannot be converted (node {node.name!r}, tensor {node.outputs[0]!r}): {reason}; "
        "see the table of operators in export/docs/networks-of-your-own.md"
    )


def _converter(node: Node) -> Converter:
    if node.kind in CONVERTERS:
        return CONVERTERS[node.kind]
    nearest = get_close_matches(node.kind, CONVERTERS, 1)
    raise RefusalError(
        "TFLite has no such operator"
        + (f", the nearest is {nearest[0]}" if nearest else "")
        + "; in a tail that decodes, let the outputs of the card lie before it (python -m export.describe FILE)"
    )
