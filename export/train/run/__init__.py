"""One training run: its loop, checkpoints and measurements."""
