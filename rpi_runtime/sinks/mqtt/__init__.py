"""Poses and states to an MQTT broker, Home Assistant included."""
