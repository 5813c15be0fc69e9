"""The pairs that one command exports: a network that finds people, and one that refines each of them."""

from __future__ import annotations

SMALL, LARGE = "small", "large"  # the refiner's input: 96x128, and 192x256 for four times the work
PAIRS = {
    SMALL: ("person-finder", "person-refiner"),
    LARGE: ("person-finder", "person-refiner-large"),
}
