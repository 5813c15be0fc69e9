"""Edits of a float .tflite that leave what it computes as it is, one file each."""
