"""Waiting times before the next attempt: doubling, bounded, randomized.

The randomization ("equal jitter": half fixed, half random) keeps devices that lost the same thing at the same
moment from retrying in step. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015.
"""

from __future__ import annotations

import random


class Backoff:
    """Waiting times in seconds.

    Parameters
    ----------
    first_s, most_s : float
        The first and the longest wait, before randomization.
    rng : random.Random, optional
        For tests; otherwise seeded by the system.
    """

    def __init__(self, first_s: float, most_s: float, rng: random.Random | None = None) -> None:
        self.first_s, self.most_s = first_s, most_s
        self._rng = rng if rng is not None else random.Random()
        self._next_s = first_s

    def wait_s(self) -> float:
        """Return the next wait, between half of the current step and all of it, and double the step."""
        step = min(self._next_s, self.most_s)
        self._next_s = min(self._next_s * 2, self.most_s)
        return step * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Start again with the first wait, after a period without failures."""
        self._next_s = self.first_s
