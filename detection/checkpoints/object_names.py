"""Every variable of a training run by its key in an object-based checkpoint, and back.

    the step                         step, and again optimizer/iter, where optimizers of the TF2 API look for it
    a variable of the detector       its key (`Detector.object_keys`)
    what the optimizer keeps of it   <key>/.OPTIMIZER_SLOT/optimizer/<slot>: m and v of Adam, rms and momentum of
                                     RMSProp, average of moving averages, Momentum of momentum
    numbers of the optimizer         optimizer/<name>
    state of random generators       random/<name>

Slots have the names that the TF2 API's optimizers have for the same numbers. What momentum keeps is called otherwise,
since it is not the same: there the learning rate is in it, here it is not.
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
    """The keys of one run's variables.

    Args:
        keys: name -> key of the detector's variables.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def check(self, names: Iterable[str], what: str) -> None:
        """Raises ConfigError, beginning with `what`, unless each of the detector's variables has a key."""
        lacking = [name for name in names if name not in self._keys and not is_optional(name)]
        if lacking:
            raise ConfigError(
                f"{what}: the config's model is none that the TF Object Detection API has object-based checkpoints of"
                f" (there is no key for {lacking[0]}); leave it out to write checkpoints by name"
            )

    def key(self, name: str) -> str:
        """Of a variable by its name in checkpoints by name."""
        if name in self._keys:
            return self._keys[name]
        if name == GLOBAL_STEP:
            return STEP
        if is_optional(name):
            return f"random/{name}"
        variable, _, slot = name.rpartition("/")
        return f"{self._keys[variable]}{SLOT}{_OPTIMIZER}/{_SLOTS[slot]}" if variable else f"{_OPTIMIZER}/{name}"

    def encoded(self, values: Mapping[str, Value]) -> dict[str, Value | bytes]:
        """What to write with `checkpoint_files.write` for variables by name."""
        by_key = {self.key(name): value for name, value in values.items()}
        counters = {object_write.SAVE_COUNTER: np.int64(1), _ITERATIONS: by_key[STEP]}
        return object_write.tensors({**by_key, **counters})

    def decoded(self, values: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, np.ndarray]:
        """Everything in a checkpoint by name, as far as it is one of `names`; else by its key."""
        name_of = {self.key(name): name for name in names}
        ignored = (checkpoint_files.OBJECT_GRAPH, f"{object_write.SAVE_COUNTER}{END}", f"{_ITERATIONS}{END}")
        by_key = {name.removesuffix(END): value for name, value in values.items() if name not in ignored}
        return {name_of.get(key, key): value for key, value in by_key.items()}
