"""Conversion of a float .tflite made elsewhere into the float model that ONNX files also become."""
