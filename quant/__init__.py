"""Quantization: float model and calibration images in, a gated INT8 .tflite out, measured on COCO."""
