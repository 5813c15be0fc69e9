"""Cards written by hand, and those of well-known networks, by name: ``--card NAME``."""
