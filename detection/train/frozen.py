"""Which variables learn, by the patterns of a config: that each pattern means something, and what stays as it is, in
words.

A pattern that matches nothing is a typing error, or written for another network's names; the layers it was meant to
hold would be trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from detection.errors import ConfigError, together
from detection.settings import TrainSettings
from detection.tools import fresh_process
from detection.tools.suggest import closest

BIASES = re.compile(r".*/biases")  # what train_config.bias_grad_multiplier multiplies the gradients of
_SHOWN = 3  # names
_LONGEST = 80  # characters of a pattern in a message
_REPEATS = re.compile(r"[*+?{]")  # With one of them a search takes no more than quadratic time.
_SEARCH_SECONDS = 2  # of processor time; all searches together take well below a millisecond
_SEARCH = """
import json, re, resource, sys
patterns, names, seconds = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
for index, pattern in enumerate(patterns):
    print(index, flush=True)
    for flags in (0, re.IGNORECASE):
        for name in names:
            re.search(pattern, name, flags)
print("done")
"""


def check(settings: TrainSettings, names: Sequence[str]) -> None:
    """Raises ConfigError for patterns that match none of `names`, the variables that could be trained, and where
    nothing is left to train.
    """
    fields = {"update_trainable_variables": settings.trained, "freeze_variables": settings.frozen}
    slow = _slow([pattern for patterns in fields.values() for pattern in patterns], names)
    if slow is not None:
        field = next(field for field, patterns in fields.items() if slow in patterns)
        raise ConfigError(
            f"train_config.{field} ({_shown(slow)}) is still being searched for in the names of variables after"
            f" {_SEARCH_SECONDS} seconds; write no repetition inside a repetition, as in (a+)+"
        )
    faults = [ConfigError(fault) for fault in _faults(settings, names)]
    if faults:
        raise together(faults)


def summary(settings: TrainSettings, names: Sequence[str]) -> str:
    """How many variables learn and which do not; empty where all learn."""
    kept = [name for name in names if not settings.learns(name)]
    if not kept:
        return ""
    shown = ", ".join(kept[:_SHOWN]) + (", ..." if kept[_SHOWN:] else "")
    return f"{len(names) - len(kept)} of {len(names)} variables are trained; {len(kept)} are frozen: {shown}"


def _slow(patterns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first pattern whose search takes exponential time, which nothing in Python bounds: tried in a child process."""
    tried = [pattern for pattern in patterns if len(_REPEATS.findall(pattern)) > 1]
    if not tried:
        return None
    task = json.dumps([tried, list(names), _SEARCH_SECONDS])
    done = fresh_process.run_isolated(_SEARCH, task)
    return (
        tried[int(done.stdout.split()[-1])] if done.returncode < 0 and done.stdout else None
    )  # Ended by the signal of the limit.


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _LONGEST else f"{pattern[:_LONGEST]}...")


def _faults(settings: TrainSettings, names: Sequence[str]) -> Iterator[str]:
    for field, patterns in (("update_trainable_variables", settings.trained), ("freeze_variables", settings.frozen)):
        for pattern in patterns:
            if not any(re.search(pattern, name) for name in names):
                advice = _advice(pattern, names)
                yield (
                    f"train_config.{field} ({_shown(pattern)}) matches none of the {len(names)} variables that can be"
                    f" trained; {advice}"
                )
    learnt = [name for name in names if settings.learns(name)]
    if settings.bias_multiplier and learnt and not any(map(BIASES.match, learnt)):
        yield (
            f"train_config.bias_grad_multiplier ({settings.bias_multiplier:g}) has nothing to multiply: none of the"
            f" {len(learnt)} variables that are trained is a bias; remove it"
        )


def _advice(pattern: str, names: Sequence[str]) -> str:
    """What was probably meant."""
    otherwise = next((name for name in names if re.search(pattern, name, re.IGNORECASE)), None)
    if otherwise is not None:
        return f"capitals count: there is {otherwise}"
    plain = re.sub(r"\\.|[\\^$.*+?()|{}\[\]]", "", pattern).strip("/").lower()
    scopes: dict[str, str] = {}  # what may have been written, in small letters -> what is there
    for name in names:
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            whole = "/".join(parts[:end])
            for start in range(end):
                scopes.setdefault("/".join(parts[start:end]).lower(), whole)
    near = list(dict.fromkeys(scopes[found] for found in closest(plain[:200], scopes, most=3)))
    return f"did you mean {' or '.join(near)}?" if near else f"they are called {', '.join(names[:_SHOWN])} and so on"
