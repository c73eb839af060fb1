"""How weights move: update rules, and learning rates as functions of the step."""
