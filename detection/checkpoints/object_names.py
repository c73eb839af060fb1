"""Maps the variables of a training run to keys of an object-based checkpoint, and back.

    step                         step, and optimizer/iter, where the optimizers of the TF2 API look it up
    variable of the detector     its key (`Detector.object_keys`)
    optimizer slot of it         <key>/.OPTIMIZER_SLOT/optimizer/<slot>: m and v of Adam, rms and momentum of RMSProp,
                                 average of moving averages, Momentum of the momentum optimizer
    scalars of the optimizer     optimizer/<name>
    state of random generators   random/<name>

Slots that hold the same values as in the TF2 API have the same names. The slot of the momentum optimizer has a
different name on purpose: in the API its values include the learning rate, here they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from detection.checkpoints import checkpoint_files, object_write
from detection.checkpoints.names import AVERAGE, GLOBAL_STEP, is_optional
from detection.checkpoints.object_files import END, SLOT, STEP
from detection.checkpoints.object_write import Value
from detection.errors import ConfigError

_OPTIMIZER = "optimizer"
_ITERATIONS = f"{_OPTIMIZER}/iter"
_SLOTS = {
    "Adam": "m",
    "Adam_1": "v",
    "RMSProp": "rms",
    "RMSProp_1": "momentum",
    "Momentum": "Momentum",
    AVERAGE: "average",
}


class ObjectNames:
    """The keys of the variables of one training run.

    Args:
        keys: name -> key, of the variables of the detector.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def check(self, names: Iterable[str], what: str) -> None:
        """Checks that every variable of the detector has a key.

        Args:
            names: the variables.
            what: the flag or argument at fault, with which the message begins.

        Raises:
            ConfigError: a variable has no key.
        """
        without_key = [name for name in names if name not in self._keys and not is_optional(name)]
        if without_key:
            raise ConfigError(
                f"{what}: the TF Object Detection API has no object-based checkpoints of the config's model"
                f" (there is no key for {without_key[0]}); leave it out to write checkpoints by name"
            )

    def key(self, name: str) -> str:
        """Returns the key of a variable, given its name in name-based checkpoints."""
        if name in self._keys:
            return self._keys[name]
        if name == GLOBAL_STEP:
            return STEP
        if is_optional(name):
            return f"random/{name}"
        variable, _, slot = name.rpartition("/")
        return f"{self._keys[variable]}{SLOT}{_OPTIMIZER}/{_SLOTS[slot]}" if variable else f"{_OPTIMIZER}/{name}"

    def encoded(self, values: Mapping[str, Value]) -> dict[str, Value | bytes]:
        """Returns what to pass to `checkpoint_files.write`, for values by variable name."""
        by_key = {self.key(name): value for name, value in values.items()}
        counters = {object_write.SAVE_COUNTER: np.int64(1), _ITERATIONS: by_key[STEP]}
        return object_write.tensors({**by_key, **counters})

    def decoded(self, values: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, np.ndarray]:
        """Returns the values of a checkpoint by variable name where `names` has the variable, otherwise by key."""
        name_of = {self.key(name): name for name in names}
        ignored = (checkpoint_files.OBJECT_GRAPH, f"{object_write.SAVE_COUNTER}{END}", f"{_ITERATIONS}{END}")
        by_key = {name.removesuffix(END): value for name, value in values.items() if name not in ignored}
        return {name_of.get(key, key): value for key, value in by_key.items()}
