"""Settings of the cascade for configuration files; this module loads no code that runs."""

from __future__ import annotations

from dataclasses import dataclass

from rpi_runtime.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """How people that one network finds are refined by another, each on a crop of their own.

    Attributes
    ----------
    model : str
        Path of the .tflite that refines: a network of crops, or one of whole pictures run on crops.
    budget_ms : float
        Milliseconds per frame for the pass over the whole picture and the crops together; a crop that would end later
        is not started. 0: every person is refined, however long it takes.
    look_every : int
        Frames from one pass over the whole picture to the next, at most; in between, people are expected where they
        last were. 1: every frame.
    """

    model: str
    budget_ms: float = 50.0
    look_every: int = 5

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError("got nothing, expected the path of a .tflite", key="model")
        if not 0 <= self.budget_ms <= 60_000:
            raise UsageError(f"got {self.budget_ms:g}, expected 0 to 60000", key="budget_ms")
        if not 1 <= self.look_every <= 1000:
            raise UsageError(f"got {self.look_every}, expected 1 to 1000", key="look_every")
