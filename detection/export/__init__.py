"""Detectors as files that serve without this package's training code, and the few lines of Python that use them."""
