"""A model file: card, seal, interpreter, delegation."""
