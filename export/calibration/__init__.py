"""The sources of calibration pictures."""
