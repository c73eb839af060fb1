"""Names of the two factors of a compressed fully connected layer, and what their rank may be; see `low_rank`."""

from __future__ import annotations

from detection.errors import ConfigError

LEFT, RIGHT, WHOLE = "left_weights", "right_weights", "weights"


def check_rank(name: str, rank: int, inputs: int, outputs: int) -> None:
    """Raises ConfigError if the rank of the layer `name` exceeds that of its weights [inputs, outputs]."""
    most = min(inputs, outputs)
    if rank > most:
        raise ConfigError(
            f"model.truncated_svd of {name!r}: rank ({rank}) exceeds that of its weights, {inputs} x {outputs}: at most"
            f" {most}"
        )
