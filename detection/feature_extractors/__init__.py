"""Feature extractors, one file per network, for all meta-architectures.

Each file says how images are scaled, where the network is cut and which maps SSD reads.
"""
