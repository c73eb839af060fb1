"""What a sweep says: figures, relations, the page."""
