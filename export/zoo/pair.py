"""The pair that one command exports: a network that finds people, and one that refines each of them."""

from __future__ import annotations

PAIR = ("person-finder", "person-refiner")
