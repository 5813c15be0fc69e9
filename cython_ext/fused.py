"""One kernel for float32 and int8: Cython compiles it once for each, and here the right one is chosen by type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Fused(Protocol[P, R]):
    """A compiled function with an argument of Cython's fused type `stored`."""

    def __getitem__(self, stored: Literal["float", "signed char"], /) -> Callable[P, R]:
        """Return the function for one type."""


def by_type(kernel: Fused[P, R]) -> dict[np.dtype[Any], Callable[P, R]]:
    """Return the two functions of a fused kernel by the type of the maps.

    Cython would choose at each call, which takes longer than a small kernel itself.
    """
    return {np.dtype(np.float32): kernel["float"], np.dtype(np.int8): kernel["signed char"]}
