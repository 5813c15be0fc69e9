"""Where calibration pictures come from."""
