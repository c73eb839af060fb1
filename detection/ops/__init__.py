"""Pure tensor functions and small frozen callables; no variables, no protos."""
