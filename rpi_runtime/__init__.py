"""The Raspberry Pi half of pipose: frame -> preprocess -> infer -> decode -> track -> sinks."""

__version__ = "0.1.0"
