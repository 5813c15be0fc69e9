"""The Raspberry Pi half of pipose: frame -> preprocess -> infer -> decode -> track -> sinks."""
