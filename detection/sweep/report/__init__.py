"""Reports of a sweep: figures, relations, the HTML page."""
