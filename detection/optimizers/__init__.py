"""Update rules of optimizers, and learning rates as functions of the step."""
