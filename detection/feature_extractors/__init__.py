"""One file a backbone, serving every meta-architecture: how images are scaled, where the network is cut, which maps SSD
reads."""
