"""Meta-architectures: detectors with the methods predict, loss and postprocess, composed of parts."""
