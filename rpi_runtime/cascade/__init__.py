"""Refine each person on a crop of the picture."""
