"""The machine-readable zone of a TD3 passport: its check digits, and what it says about its holder.

ICAO Doc 9303 part 4 (8th edition), section 4.2: two lines of 44 characters; part 3, section 4.9: check digits.
"""

from __future__ import annotations

from typing import NamedTuple

SIZE = 88
"""Characters of both lines together."""

_LINE = SIZE // 2
_VALUES = {**{str(n): n for n in range(10)}, **{chr(65 + n): 10 + n for n in range(26)}, "<": 0}
_WEIGHTS = (7, 3, 1)
_CHECKED = ((0, 9), (13, 19), (21, 27), (28, 42))
"""In the second line: number, birth date, expiry, optional data; the digit of each follows it."""
_SEX = {"M": 1, "F": 2}


class Holder(NamedTuple):
    """What the zone says; empty or None: nothing."""

    number: str
    born: str  # YYMMDD
    sex: int | None  # ISO 5218


def check_digit(text: str) -> int:
    """Return the check digit of a part of the zone: weights 7, 3, 1, modulo 10."""
    return sum(_VALUES[character] * _WEIGHTS[i % 3] for i, character in enumerate(text)) % 10


def agrees(zone: str) -> bool:
    """Whether all five check digits of a zone agree; False for text of another length or other characters."""
    if len(zone) != SIZE or not set(zone) <= _VALUES.keys():
        return False
    line = zone[_LINE:]
    parts = [(line[first:end], line[end]) for first, end in _CHECKED]
    parts.append((line[0:10] + line[13:20] + line[21:43], line[43]))
    # the digit of empty optional data may be a filler (part 4, table for TD3, position 43)
    return all(digit == str(check_digit(part)) or (digit == "<" and not part.strip("<")) for part, digit in parts)


def holder(zone: str) -> Holder:
    """Return what a zone whose check digits agree says about its holder."""
    line = zone[_LINE:]
    return Holder(line[0:9].rstrip("<"), line[13:19], _SEX.get(line[20]))
