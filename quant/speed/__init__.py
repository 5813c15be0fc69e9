"""Predicted milliseconds on a Raspberry Pi, until someone has measured them."""
