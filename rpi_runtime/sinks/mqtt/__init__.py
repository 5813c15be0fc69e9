"""Publish poses and states to an MQTT broker, with discovery for Home Assistant."""
