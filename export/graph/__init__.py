"""Conversion of a network: an ONNX graph or a PyTorch module in, a float .tflite out."""
