"""Which function converts which operator of ONNX's."""

from __future__ import annotations

from collections.abc import Callable

from export.graph.convert.scope import Converter

CONVERTERS: dict[str, Converter] = {}


def converts(*kinds: str) -> Callable[[Converter], Converter]:
    """Register a function as the converter of these operators."""

    def register(function: Converter) -> Converter:
        for kind in kinds:
            assert kind not in CONVERTERS, kind
            CONVERTERS[kind] = function
        return function

    return register
