"""Mutants: valid events of every family with something wrong in them, and bytes with something wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import orjson

from schemas.contracts import FAMILIES, Field
from tests.connectors.doors import CONVENTION
from tests.fuzz import odd
from tests.fuzz.odd import JUNK, PERSONAL

FIELDS = {name: {field.path: field for field in family.fields} for name, family in FAMILIES.items()}
SENDER = {family: next(a for a in CONVENTION.agencies.values() if family in a.families).code for family in FAMILIES}
"""An agency that reports each family."""

_EXAMPLES = {name: orjson.dumps(family.example) for name, family in FAMILIES.items()}
_OWN = "record_no"
"""The sender's own number is told back to him, so it bears no mark."""

Path = tuple[str | int, ...]


def sound(chance: Random, family: str) -> dict[str, Any]:
    """Return the family's example under another number, every personal text of it marked."""
    event: dict[str, Any] = orjson.loads(_EXAMPLES[family])
    for field in FAMILIES[family].fields:
        *owners, name = field.path.split(".")
        place: Any = event
        for owner in owners:
            place = None if place is None else place.get(owner)
        if place is not None and field.personal and type(place.get(name)) is str and _takes_any(field):
            place[name] = f"{PERSONAL}{chance.randrange(10_000)}"
    event["header"]["record_no"] = f"A-{chance.randrange(10**9)}"
    event["header"]["revision"] = chance.choice((1, 1, 1, 2, 3))
    return event


def _takes_any(field: Field) -> bool:
    return not field.name.endswith(_OWN) and field.max_length is not None


def mutant(chance: Random, family: str) -> dict[str, Any]:
    """Return such an event with up to four things changed; one in six has none."""
    event = sound(chance, family)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        _change(chance, family, event)
    return event


def _change(chance: Random, family: str, event: dict[str, Any]) -> None:
    found = list(places(event))
    if not found:
        return
    path, owner, name = chance.choice(found)
    kind = chance.randrange(12)
    if kind < 5:
        owner[name] = _fitting(chance, family, path, owner[name])
    elif kind < 7:
        owner[name] = odd.value(chance)
    elif kind == 7:
        del owner[name]
    elif kind == 8 and type(owner) is dict:
        extra = chance.choice((odd.text(chance), f"{name} ", str(name).upper(), "__proto__", "", "surname"))
        owner[extra] = odd.value(chance)
    elif kind == 9:
        owner[name] = chance.choice(([owner[name]], {JUNK: owner[name]}, [], {}, str(owner[name])[:0] or None))
    elif kind == 10 and path[-1] != _OWN:
        _, others, other = chance.choice(found)
        if other != _OWN and type(others) is type(owner) is dict and other in others:
            owner[name], others[other] = others[other], deepcopy(owner[name])
    else:
        owner[name] = None


def _fitting(chance: Random, family: str, path: Path, now: Any) -> Any:
    """Return another value of the kind that stands there: of the right type mostly, and odd."""
    field = FIELDS[family].get(".".join(str(part) for part in path))
    if path[-1] == _OWN:
        return chance.choice(_OWN_NUMBERS)
    if field is not None and field.type in _OTHERS:
        return _OTHERS[field.type](chance, now)
    return odd.text(chance, PERSONAL if field is not None and field.personal else JUNK)


_OWN_NUMBERS = (
    *(
        "",
        " ",
        "A",
        "A" * 64,
        "A" * 65,
        "А-17",
        "A\x00",
        "\ud800",
        "\u202eA",
        "A\u0301",
        " A",
        "\U0001f600" * 64,
        "A\u2028A",
    ),
    *("1", "=1+1", "A\ufeff", "../A", "%00"),
)
_WHOLE = (0, -1, 1, 10**6, 2**31 - 1, 2**31, 2**63 - 1, 2**63, "@raw9@", "@raw18@", True)
_OTHERS: Mapping[str, Callable[[Random, Any], Any]] = {
    "date": lambda chance, _: odd.day(chance),
    "timestamp-millis": lambda chance, _: odd.moment(chance),
    "int": lambda chance, _: chance.choice(_WHOLE),
    "long": lambda chance, _: chance.choice(_WHOLE),
    "boolean": lambda chance, _: chance.choice((True, False, 0, 1, "true", "yes")),
    "array": lambda chance, now: now * chance.choice((0, 2, 9, 1000)) if type(now) is list else [odd.text(chance)],
}


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield every place in a value: its path, what holds it, and under which name or number."""
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, each in inner:
        yield (*path, name), value, name
        yield from places(each, (*path, name))


def torn(chance: Random, body: bytes) -> bytes:
    """Return bytes with something wrong in them: flipped, cut, doubled, or in another encoding."""
    begin = chance.randrange(len(body) + 1)
    end = min(begin + chance.choice((1, 1, 2, 8, 100)), len(body))
    return chance.choice(_TEARS)(chance, body, begin, end)


def _flipped(chance: Random, body: bytes, _: int, __: int) -> bytes:
    flipped = bytearray(body or b"\x00")
    for _ in range(chance.choice((1, 1, 2, 10))):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _encoded(chance: Random, body: bytes, _: int, __: int) -> bytes:
    encoding = chance.choice(("utf-16", "utf-32-be", "utf-8-sig", "cp1251", "utf-7", "koi8_r"))
    return body.decode(errors="replace").encode(encoding, "replace")


_STRANGE = (b"\xff" * 8, b"\x00" * 8, b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80")
_TEARS: Sequence[Callable[[Random, bytes, int, int], bytes]] = (
    _flipped,
    _flipped,
    _encoded,
    lambda _, body, begin, __: body[:begin],
    lambda _, body, begin, __: body[begin:],
    lambda _, body, begin, end: body[:begin] + body[end:],
    lambda _, body, begin, end: body[:end] + body[begin:],
    lambda chance, body, begin, _: body[:begin] + chance.randbytes(chance.choice((1, 4, 16))) + body[begin:],
    lambda chance, body, begin, end: body[:begin] + chance.choice(_STRANGE) + body[end:],
)
