"""Damaged inputs: what a small corpus becomes by flipped bits, cuts, splices, repeated tokens, extreme numbers and deep
nesting. Repeatable."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NUMBERS = [
    b"0",
    b"-1",
    b"1",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"4294967296",
]
_NUMBERS += [
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e308",
    b"-1e309",
    b"1e-320",
    b"0.0",
    b"-0.0",
    b"nan",
]
_NUMBERS += [
    b"inf",
    b"NaN",
    b"-Infinity",
    b"1e99999",
    b"9" * 400,
    b"9" * 5000,
    b"0x7f",
    b"1_0",
    b"true",
    b"null",
    b'"1"',
    b"[]",
    b"{}",
    b"",
]
_WORDS = [
    struct.pack(f"<{kind}", value)
    for kind, value in (("H", 0xFFFF), ("I", 0xFFFFFFFF), ("I", 0x7FFFFFFF), ("I", 0x80000000), ("I", 0))
]
_WORDS += [word[::-1] for word in _WORDS] + [
    struct.pack("<q", -1),
    struct.pack("<q", 2**62),
    struct.pack("<f", float("nan")),
    b"\x80" * 10 + b"\x01",
]
_BYTES = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\r",
    b"\x1b",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "\u202e".encode(),
    b"'",
    b'"',
    b"\\",
]
_LONGEST = 300_000  # bytes of an input


class Material(NamedTuple):
    """What mutations of one reader's inputs are made from."""

    corpus: Sequence[bytes]
    tokens: Sequence[bytes] = ()  # of the format: opening brackets, keys, magic numbers
    nests: Sequence[tuple[bytes, bytes]] = ()  # what may stand in itself: beginning and end


def make(material: Material, seed: str) -> bytes:
    """One input, the same for the same seed."""
    dice = random.Random(seed)
    data = dice.choice(material.corpus)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        data = dice.choice(_MUTATIONS)(data, dice, material)[:_LONGEST]
    return data


def _place(data: bytes, dice: random.Random) -> int:
    return dice.randrange(len(data) + 1)


def _span(data: bytes, dice: random.Random, longest: int = 200) -> tuple[int, int]:
    start = _place(data, dice)
    return start, min(len(data), start + dice.randint(1, dice.choice((4, 16, longest))))


def _flip(data: bytes, dice: random.Random, material: Material) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8)) if data else 0):
        changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _set(data: bytes, dice: random.Random, material: Material) -> bytes:
    start = _place(data, dice)
    value = dice.choice(_BYTES)
    return data[:start] + value + data[start + dice.choice((0, len(value))) :]


def _word(data: bytes, dice: random.Random, material: Material) -> bytes:
    word, start = dice.choice(_WORDS), _place(data, dice)
    return data[:start] + word + data[start + len(word) :]


def _cut(data: bytes, dice: random.Random, material: Material) -> bytes:
    if dice.random() < 0.3:
        return data[: _place(data, dice)]
    start, end = _span(data, dice)
    return data[:start] + data[end:]


def _repeat(data: bytes, dice: random.Random, material: Material) -> bytes:
    start, end = _span(data, dice)
    return data[:end] + data[start:end] * dice.choice((1, 1, 2, 10, 1000)) + data[end:]


def _splice(data: bytes, dice: random.Random, material: Material) -> bytes:
    other = dice.choice(material.corpus)
    if dice.random() < 0.5:
        return data[: _place(data, dice)] + other[_place(other, dice) :]
    start, end = _span(other, dice)
    place = _place(data, dice)
    return data[:place] + other[start:end] + data[place:]


def _number(data: bytes, dice: random.Random, material: Material) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return _word(data, dice, material)
    match = dice.choice(found)
    return data[: match.start()] + dice.choice(_NUMBERS) + data[match.end() :]


def _token(data: bytes, dice: random.Random, material: Material) -> bytes:
    tokens = material.tokens or _WORDS
    start = _place(data, dice)
    end = start if dice.random() < 0.5 else min(len(data), start + dice.randint(1, 8))
    return data[:start] + dice.choice(tokens) + data[end:]


def _swap(data: bytes, dice: random.Random, material: Material) -> bytes:
    """One token of the format in place of another."""
    present = [token for token in material.tokens if token and token in data]
    if not present:
        return _flip(data, dice, material)
    token = dice.choice(present)
    return data.replace(token, dice.choice(material.tokens), dice.choice((1, 1, -1)))


def _nest(data: bytes, dice: random.Random, material: Material) -> bytes:
    if not material.nests:
        return _repeat(data, dice, material)
    (begin, end), depth, start = (
        dice.choice(material.nests),
        dice.choice((2, 30, 101, 1000, 20_000)),
        _place(data, dice),
    )
    depth = min(depth, _LONGEST // (2 * len(begin + end)))
    stop = start if dice.random() < 0.5 else _place(data, dice)
    return (
        data[:start]
        + begin * depth
        + data[start : max(start, stop)]
        + end * (depth if dice.random() < 0.7 else 0)
        + data[max(start, stop) :]
    )


_MUTATIONS: list[Callable[[bytes, random.Random, Material], bytes]] = [
    *(
        _flip,
        _flip,
        _set,
        _set,
        _word,
        _cut,
        _cut,
        _repeat,
        _splice,
        _number,
        _number,
        _number,
        _token,
        _token,
        _swap,
        _nest,
    )
]
