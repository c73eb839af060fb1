"""Detectors: three verbs (predict, loss, postprocess) over the parts that they are composed of."""
