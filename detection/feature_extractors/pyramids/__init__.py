"""Feature pyramids, each of which works on any network that has maps of several strides."""
