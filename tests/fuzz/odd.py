"""Odd values: what agencies' programs send by mistake and attackers on purpose; all of them bear a mark.

`PERSONAL` stands in every name and number of a person, `JUNK` in everything else that is made up: neither may come back
in an answer or a log line.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

PERSONAL, JUNK = "KANAREK", "MUSOR"


def listed(text: str) -> list[str]:
    """Return what stands in a text between single spaces."""
    return text.split(" ")


CHARACTERS = listed(
    "\x00 \x01 \x1f \x7f \x80 \x85 \u00a0 \u00ad \u0301 \u0338 \u034f \u061c \u0660 \u0e33 \u200b \u200d \u202e \u2028 "
    "\u2029 \u2066 \ud800 \udfff \ufdd0 \ufdfa \ufeff \uff21 \ufffd \uffff \U0001d7d8 \U0001f469\u200d\U0001f467 "
    "\U000e0041 \U0010ffff ' \" \\ / < & %00 ; = +\uff1d @ { ] , \t \r \n \u0410 \u0456 \u04c0 \u0130 \u0131 \u00df "
    "\u1e9e \u01c5"
)
"""Controls, spaces, marks, directions, surrogates, noncharacters, look-alikes, what grows under upper() and NFKC."""

DAYS = listed(
    "0000-00-00 0000-01-01 0001-01-01 1582-10-10 1799-12-31 1800-01-01 1900-02-29 1970-01-01 2000-02-29 2018-02-30 "
    "2018-13-01 2018-1-1 2018-W01-1 2018-366 2199-12-31 2200-12-31 2201-01-01 9999-12-31 10000-01-01 -0001-01-01 "
    "+2018-01-01 20180101 01.02.2018 ２０１８-０１-０１ 2018-01-01T00:00:00Z 2018-01-01Z 1e3-01-01"
)
HOURS = listed(
    "T00:00:00Z T23:59:60Z T23:59:59.999999Z T24:00:00Z T24:00:01Z T25:00:00Z T00:00Z T00Z T10:15:00 T10:15:00+14:00 "
    "T10:15:00-23:59 T10:15:00+24:00 T10:15:00+99:99 T10:15:00+03 T10:15:00+0300 T10:15:00-00:00 T10:15:00.1234567Z "
    "T10:15:00,5Z t10:15:00z T10:15:00Z[Europe/Minsk] T10:15:00+03:00:30 T-1:00:00Z T10:60:00Z"
)
RAW = [
    *listed(
        "NaN Infinity -Infinity 1e400 -1e400 1e-400 -0 -0.0 0.1 1.0 1.00000000000000000000000000000001 00 01 .5 5. +1 "
        "0x1F 1_0 1E2 123456789012345678901234567890 9007199254740993 9223372036854775807 9223372036854775808 "
        "-9223372036854775809 2147483648 -2147483649 18446744073709551616 4294967296 True None undefined '' "
        '"\\u00" "\\ud800" "\\udc00\\ud800" "\\u0000" // /**/ [1,] {,} {"a"} {"a":1,} {"a":1,"a":2} {"__proto__":{}} '
        '{"$ref":"#"} "\t" "\x01" \ufeff1'
    ),
    "9" * 5000,
    "[" * 3000 + "]" * 3000,
    '{"a":' * 1500 + "1" + "}" * 1500,
    "[" * 1100,
    "1" + "0" * 400 + ".5e-400",
]
"""What stands for a value in JSON's text: numbers at every limit, and what some readers take and others do not."""

_WRITTEN = re.compile(r'"@raw(\d+)@"')


def text(chance: Random, mark: str = JUNK) -> str:
    """Return a text that bears the mark, with something odd in it."""
    kind = chance.randrange(8)
    if kind == 0:
        return mark * chance.choice((1, 4, 30, 300))
    if kind == 1:
        return chance.choice(CHARACTERS) * chance.choice((1, 3, 40, 3000)) + mark
    if kind == 2:
        return chance.choice(DAYS) + chance.choice(("", chance.choice(HOURS))) if mark == JUNK else mark
    if kind == 3:
        return chance.choice(("", " ", "\t", "-", "null", "0", "1", "M", "BLR", "blr", "ZZZ", "CREATE", "true"))
    letters = list(mark + str(chance.randrange(1000)) + mark)
    for _ in range(chance.choice((1, 1, 2, 5))):
        letters.insert(chance.randrange(len(letters) + 1), chance.choice(CHARACTERS))
    return "".join(letters)


def value(chance: Random, depth: int = 2) -> Any:
    """Return anything that JSON can say, and some that it cannot (see `written`)."""
    kind = chance.randrange(10)
    if kind < 3:
        return text(chance)
    if kind < 5:
        return f"@raw{chance.randrange(len(RAW))}@"
    if kind < 7:
        return chance.choice(
            (None, True, False, 0, -1, 1, 2, 9, 10**6, 2**31, 2**63, -(2**63) - 1, 10**40, 1.5, -0.0, 1e308)
        )
    if kind == 7:
        return chance.choice((day, moment))(chance)
    if depth == 0:
        return chance.choice(([], {}))
    inner = [value(chance, depth - 1) for _ in range(chance.choice((0, 1, 2, 9)))]
    return inner if kind == 8 else {text(chance): each for each in inner}


def day(chance: Random) -> str:
    """Return what might be taken for a day."""
    if chance.random() < 0.5:
        return chance.choice(DAYS)
    return f"{chance.randrange(1780, 2230):04}-{chance.randrange(0, 14):02}-{chance.randrange(0, 33):02}"


def moment(chance: Random) -> str:
    """Return what might be taken for an instant."""
    return day(chance) + chance.choice(HOURS)


def written(chance: Random, made: Any) -> bytes:
    """Return a value as JSON, with what stands for raw text put in; not always UTF-8."""
    said = json.dumps(made, ensure_ascii=chance.random() < 0.5)
    said = _WRITTEN.sub(lambda found: RAW[int(found[1])], said)
    return said.encode("utf-8", chance.choice(("surrogatepass", "backslashreplace")))
