"""Weights: where they are published, how their files are read."""
