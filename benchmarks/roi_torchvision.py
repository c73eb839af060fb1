"""torchvision.ops.roi_pool for `roi_ops`; runs under a Python that has torch and need not have TensorFlow or this
package.

    python roi_torchvision.py case.npz results.npz

Says its version, then for every line it reads (forward, both, save) does that and answers with a line.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(case: str, results: str) -> None:
    """case: features [1, h, w, c], boxes [P, 4], upstream [P, n, n, c], size, scale; results: pooled and gradient, laid
    out alike.
    """
    import numpy as np

    torch, torchvision = (
        import_module("torch"),
        import_module("torchvision"),
    )  # By name: they are no dependencies of this package.

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def tensor(array: np.ndarray) -> object:
        """Channels first, as torchvision wants them."""
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

    say(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
    for line in sys.stdin:
        if line.strip() == "forward":
            with torch.no_grad():
                pool()
        else:
            pooled = both()
            if line.strip() == "save":
                arrays = (np.moveaxis(values.detach().numpy(), 1, -1) for values in (pooled, features.grad))
                np.savez(results, **dict(zip(("pooled", "gradient"), arrays, strict=True)))
        say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
