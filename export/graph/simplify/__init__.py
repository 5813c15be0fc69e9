"""Edits of a float .tflite that do not change what it computes, one file each."""
