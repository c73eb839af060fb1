"""Flags of a command: absl's syntax, one-line errors."""

from __future__ import annotations

import pytest

from detection.commands.flags import Flags, HelpRequested
from detection.errors import ConfigError


@pytest.fixture
def flags() -> Flags:
    table = Flags()
    table.add_string("path", None, "A path.", required=True)
    table.add_integer("count", 3, "How many.", lower_bound=1)
    table.add_float("share", 0.5, "How much.", lower_bound=0.0, upper_bound=1.0)
    table.add_bool("quiet", False, "Say less.")
    table.add_enum("kind", "a", ["a", "b"], "Which.")
    table.add_list("sizes", ["1", "2"], "Sizes.")
    table.add_multi_string("set", "Overrides.")
    table.add_alias("amount", "count")
    return table


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--count=5"], "count", 5),
        (["--count", "5"], "count", 5),
        (["-count=5"], "count", 5),
        (["--amount=5"], "count", 5),
        (["--share=0"], "share", 0.0),
        (["--quiet"], "quiet", True),
        (["--quiet=false"], "quiet", False),
        (["--quiet", "--noquiet"], "quiet", False),
        (["--kind=b"], "kind", "b"),
        (["--sizes=3,4"], "sizes", ["3", "4"]),
        (["--sizes="], "sizes", []),
        (["--set", "a=[1,2]", "--set=b=2"], "set", ["a=[1,2]", "b=2"]),
        (["--count=5", "--count=6"], "count", 6),
        (["--undefok=other", "--other=1"], "count", 3),
    ],
)
def test_ways_to_write_a_flag(flags, words, name, value):
    given = flags.parse("program", ["--path=x", *words])
    assert given.flags[name].value == value and given.flags.path == "x"


def test_arguments_may_be_anywhere_and_are_no_flags_after_two_dashes(flags):
    given = flags.parse("program", ["a", "--path=x", "b", "--", "--quiet"])
    assert given.arguments == ["a", "b", "--quiet"] and not given.flags.quiet
    assert given.argv == ("a", "--path=x", "b", "--", "--quiet")


def test_flags_from_a_file(flags, tmp_path):
    (tmp_path / "flags").write_text("--path=y\n# a comment\n--count=7\n")
    given = flags.parse("program", [f"--flagfile={tmp_path / 'flags'}", "--count=8"])
    assert (given.flags.path, given.flags.count) == ("y", 8)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--path is required"),
        (["--path=x", "--cuont=5"], "unknown flag --cuont; did you mean --count?"),
        (["--path=x", "--noquit"], "unknown flag --noquit; did you mean --noquiet?"),
        (["--path=x", "--zzz"], "unknown flag --zzz; --help lists the flags"),
        (["--path=x", "--count=0"], "flag --count=0: 0 is not a positive integer"),
        (["--path=x", "--count=many"], "flag --count=many: invalid literal"),
        (["--path=x", "--share=2"], "flag --share=2: 2.0 is not a number in the range [0.0, 1.0]"),
        (["--path=x", "--kind=c"], "flag --kind=c: value should be one of <a|b>"),
        (["--path=x", "--quiet=perhaps"], "flag --quiet=perhaps: give true or false; --help"),
        (["--path=x", "--noquiet=1"], "--noquiet=1 does not take an argument"),
        (["--path=x", "--count"], "Missing value for flag --count"),
        (["--flagfile=absent"], "absent"),
    ],
)
def test_errors_are_one_line(flags, words, says):
    with pytest.raises(ConfigError) as error:
        flags.parse("program", words)
    assert says in str(error.value) and len(str(error.value).splitlines()) == 1


def test_everything_that_is_missing_is_named_at_once():
    table = Flags()
    table.add_string("one", None, "One.", required=True)
    table.add_list("two", None, "Two.", required=True)
    with pytest.raises(ConfigError, match="--one and --two are required"):
        table.parse("program", [])


@pytest.mark.parametrize("words", [[], ["--one=1", "--two=2"]])
def test_one_of_several(words):
    table = Flags()
    for name in ("one", "two"):
        table.add_string(name, None, "A way.")
    table.require_one_of(["one", "two"])
    with pytest.raises(ConfigError, match="give either --one or --two"):
        table.parse("program", words)
    again = Flags()
    again.add_string("one", None, "A way.")
    again.add_string("two", None, "A way.")
    again.require_one_of(["one", "two"])
    assert again.parse("program", ["--one=1"]).flags.one == "1"


@pytest.mark.parametrize("word", ["--help", "-?", "-h", "--helpshort", "--helpfull", "--helpxml"])
def test_help_comes_before_what_is_required(flags, word):
    with pytest.raises(HelpRequested):
        flags.parse("program", [word])
