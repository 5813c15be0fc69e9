"""Lightweight OpenPose (Osokin 2018): bottom-up, with part affinity fields."""
