"""Small tools that several rooms need: threads, fresh processes, locks, tables, suggestions, TensorFlow's internals."""
