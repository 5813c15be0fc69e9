"""The table ``[start]`` of a recipe: the weights that a run starts from. Each family has its own methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rpi_runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Random weights, or those of a file.

    Attributes
    ----------
    method : {"scratch", "load"}
    weights : str
        As ``export.tflite --weights`` takes them; "" for "scratch".
    """

    method: Literal["scratch", "load"] = "scratch"
    weights: str = ""

    def __post_init__(self) -> None:
        _check(self.method, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStart:
    """As `Start`, or what `export.zoo.lw_openpose.prune` leaves of a wider network.

    Attributes
    ----------
    method : {"scratch", "load", "prune"}
    weights : str
    network : str
        The network of `weights`, if `prune` cuts down another one than the published network.
    pictures : int
        Number of pictures that `prune` uses.
    """

    method: Literal["scratch", "load", "prune"] = "scratch"
    weights: str = ""
    network: str = "lw-openpose"
    pictures: int = 32

    def __post_init__(self) -> None:
        _check(self.method, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitStart:
    """As `Start`, or with every layer refitted for other activations by `export.train.start.refit`.

    Attributes
    ----------
    method : {"scratch", "load", "refit"}
    weights : str
    pictures : int
        Number of pictures that `refit` uses.
    """

    method: Literal["scratch", "load", "refit"] = "scratch"
    weights: str = ""
    pictures: int = 32

    def __post_init__(self) -> None:
        _check(self.method, self.weights)


AnyStart = Start | PruneStart | RefitStart


def _check(method: str, weights: str) -> None:
    if (method != "scratch") != bool(weights):
        raise InputError(f"recipe: start.method {method!r} and start.weights do not go together")
