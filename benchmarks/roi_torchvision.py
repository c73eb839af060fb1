"""Runs torchvision.ops.roi_pool for `roi_ops` in a Python that has torch; it needs neither TensorFlow nor this package.

    python roi_torchvision.py case.npz results.npz

Prints its version; then, for every line it reads (forward, both, save), runs that and answers with a line.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(case: str, results: str) -> None:
    """Runs the commands.

    Args:
        case: an .npz file with features [1, h, w, c], boxes [P, 4], upstream [P, n, n, c], size and scale.
        results: the .npz file to write, with pooled and gradient in the same layout.
    """
    import numpy as np

    # Imported by name, since they are not dependencies of this package.
    torch, torchvision = (import_module("torch"), import_module("torchvision"))

    def answer(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def tensor(array: np.ndarray) -> object:
        """The array with channels first, as torchvision expects."""
        return torch.tensor(np.ascontiguousarray(np.moveaxis(array, -1, 1)))

    with np.load(case) as data:
        features, upstream = tensor(data["features"]).requires_grad_(), tensor(data["upstream"])
        rois = torch.tensor(
            np.concatenate([np.zeros_like(data["boxes"][:, :1]), data["boxes"][:, [1, 0, 3, 2]]], axis=1)
        )
        size, scale = int(data["size"]), float(data["scale"])

    def pool() -> object:
        return torchvision.ops.roi_pool(features, rois, size, scale)

    def both() -> object:
        features.grad = None
        pooled = pool()
        pooled.backward(upstream)
        return pooled

    answer(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
    for line in sys.stdin:
        if line.strip() == "forward":
            with torch.no_grad():
                pool()
        else:
            pooled = both()
            if line.strip() == "save":
                arrays = (np.moveaxis(values.detach().numpy(), 1, -1) for values in (pooled, features.grad))
                np.savez(results, **dict(zip(("pooled", "gradient"), arrays, strict=True)))
        answer("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
