"""Checks a config's patterns of trained and frozen variables, and summarises which variables are frozen.

A pattern that matches nothing is misspelt or was written for another network's names; the layers it should freeze
would be trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from detection.errors import ConfigError, combined
from detection.settings import TrainSettings
from detection.tools import fresh_process
from detection.tools.suggest import closest

BIASES = re.compile(r".*/biases")  # variables whose gradients train_config.bias_grad_multiplier multiplies
_SHOWN = 3  # names in a message
_LONGEST = 80  # characters of a pattern in a message
_REPEATS = re.compile(r"[*+?{]")  # With only one of them a search takes at most quadratic time.
_SEARCH_SECONDS = 2  # of processor time; normally all searches together take well below a millisecond
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
    """Checks the patterns for trained and frozen variables.

    Args:
        settings: the patterns.
        names: all variables that could be trained.

    Raises:
        ConfigError: a pattern matches none of the names or takes too long to match, or a setting has no effect.
    """
    fields = {"update_trainable_variables": settings.trained, "freeze_variables": settings.frozen}
    slow_pattern = _find_slow([pattern for patterns in fields.values() for pattern in patterns], names)
    if slow_pattern is not None:
        field = next(field for field, patterns in fields.items() if slow_pattern in patterns)
        raise ConfigError(
            f"train_config.{field} ({_shown(slow_pattern)}) takes more than {_SEARCH_SECONDS} seconds to match against"
            " the names of the variables; avoid a repetition inside a repetition, as in (a+)+"
        )
    problems = [ConfigError(problem) for problem in _problems(settings, names)]
    if problems:
        raise combined(problems)


def summary(settings: TrainSettings, names: Sequence[str]) -> str:
    """How many variables are trained and which are frozen, as text; empty if all are trained."""
    frozen = [name for name in names if not settings.is_trained(name)]
    if not frozen:
        return ""
    shown = ", ".join(frozen[:_SHOWN]) + (", ..." if frozen[_SHOWN:] else "")
    return f"{len(names) - len(frozen)} of {len(names)} variables are trained; {len(frozen)} are frozen: {shown}"


def _find_slow(patterns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first pattern whose search takes exponential time, or None.

    Python cannot limit the time of a search, so the patterns are tried in a child process.
    """
    candidates = [pattern for pattern in patterns if len(_REPEATS.findall(pattern)) > 1]
    if not candidates:
        return None
    task = json.dumps([candidates, list(names), _SEARCH_SECONDS])
    process = fresh_process.run_isolated(_SEARCH, task)
    # A negative return code means that the process was killed by the signal of the time limit.
    return candidates[int(process.stdout.split()[-1])] if process.returncode < 0 and process.stdout else None


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= _LONGEST else f"{pattern[:_LONGEST]}...")


def _problems(settings: TrainSettings, names: Sequence[str]) -> Iterator[str]:
    matches_all = True
    for field, patterns in (("update_trainable_variables", settings.trained), ("freeze_variables", settings.frozen)):
        for pattern in patterns:
            if not any(re.search(pattern, name) for name in names):
                matches_all = False
                advice = _advice(pattern, names)
                yield (
                    f"train_config.{field} ({_shown(pattern)}) matches none of the {len(names)} variables that can be"
                    f" trained; {advice}"
                )
    trained = [name for name in names if settings.is_trained(name)]
    if names and not trained and matches_all:
        field = "freeze_variables" if settings.frozen else "update_trainable_variables"
        yield (
            f"train_config.{field} leaves none of the {len(names)} variables to be trained; freeze fewer of them, for"
            " example those of the feature extractor alone"
        )
    if settings.bias_multiplier and trained and not any(map(BIASES.match, trained)):
        yield (
            f"train_config.bias_grad_multiplier ({settings.bias_multiplier:g}) has nothing to multiply: none of the"
            f" {len(trained)} variables that are trained is a bias; remove it"
        )


def _advice(pattern: str, names: Sequence[str]) -> str:
    """A suggestion for a pattern that matches nothing."""
    same_letters = next((name for name in names if re.search(pattern, name, re.IGNORECASE)), None)
    if same_letters is not None:
        return f"upper and lower case differ: the variable is {same_letters}"
    literal = re.sub(r"\\.|[\\^$.*+?()|{}\[\]]", "", pattern).strip("/").lower()
    scopes: dict[str, str] = {}  # any part of a variable's path, in lower case -> the scope that it ends
    for name in names:
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            scope = "/".join(parts[:end])
            for start in range(end):
                scopes.setdefault("/".join(parts[start:end]).lower(), scope)
    suggestions = list(dict.fromkeys(scopes[match] for match in closest(literal[:200], scopes, limit=3)))
    return (
        f"did you mean {' or '.join(suggestions)}?"
        if suggestions
        else f"the variables are {', '.join(names[:_SHOWN])}, ..."
    )
