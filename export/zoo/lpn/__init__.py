"""LPN (Zhang et al. 2019): top-down, a lightweight ResNet."""
