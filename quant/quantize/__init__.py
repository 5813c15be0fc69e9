"""A float .tflite and calibration images become an INT8 .tflite: observe, choose grids, write integers."""
