"""Refuses a multi-process cluster in TF_CONFIG: training on several machines is not supported."""

from __future__ import annotations

import json
import os

from detection.errors import ConfigError


def refuse(variable: str | None = None) -> None:
    """Raises an error if TF_CONFIG makes this process one of several training workers.

    Each of them would train alone on all data and overwrite the others' files. A cluster of this process only, as
    managed services set it, is accepted.

    Args:
        variable: the value of TF_CONFIG; None reads the environment.

    Raises:
        ConfigError: the variable names several processes, or is not of the form that TensorFlow reads.
    """
    text = os.environ.get("TF_CONFIG", "") if variable is None else variable
    if not text.strip():
        return
    remedy = "unset TF_CONFIG to use this machine alone"
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"TF_CONFIG ({text[:60]!r}): is not JSON ({str(error)[:80]}); correct it, or {remedy}"
        ) from None
    cluster = settings.get("cluster") or {} if isinstance(settings, dict) else None
    jobs = list(cluster.values()) if isinstance(cluster, dict) else [None]
    if not all(isinstance(job, list | dict) for job in jobs):
        raise ConfigError(
            f'TF_CONFIG ({text[:60]!r}): is not of the form {{"cluster": {{"worker": ["host:port"]}}, "task":'
            f" {{...}}}}; {remedy}"
        )
    count = sum(map(len, jobs))
    if count > 1:
        parts = ", ".join(f"{len(job)} {str(name)[:20]}" for name, job in cluster.items())
        raise ConfigError(
            f"TF_CONFIG names {count} processes ({parts}), and training or evaluating on several machines is not"
            f" supported; {remedy}, with --num_replicas for its GPUs"
        )
