"""Predicted milliseconds on a Raspberry Pi, until they have been measured."""
