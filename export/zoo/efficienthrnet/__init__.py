"""EfficientHRNet (Neff et al. 2020): bottom-up, with tags."""
