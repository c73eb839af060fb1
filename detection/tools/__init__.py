"""Small tools that several packages use: threads, fresh processes, locks, tables, suggestions, TensorFlow internals."""
