"""One loss a file, unreduced: `loss(predictions, targets, weights)`."""
