"""How good a detector is: metrics, the loop that collects them, and pictures of what was found."""
