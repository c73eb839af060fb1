"""Pyramids: features of several strides from any network that has maps of several strides."""
