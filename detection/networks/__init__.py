"""Classification networks as ordered tuples of named blocks; names are tf-slim's."""
