"""The networks, one folder each, and their registry."""
