"""Rules across fields: what a contract demands of several values of one event together, as data in its `migex.rules`.

Each has a kind, the paths it speaks of, perhaps a condition (`if`: path -> values, all of which must be met), and the
kind's own parameters. What the kinds mean is said here once, in English; `schemas/avro/words.csv` holds the sentences
in the other languages, found by the English. `connectors/cross_rules.py` applies the rules at the doors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.errors import Misconfigured

Sentence = tuple[str, Mapping[str, object]]
"""A sentence in English with places, and what is filled into them."""


class Kind(NamedTuple):
    """A kind of rule: how many fields it speaks of, its parameters, and the code of the reason when it is broken."""

    code: str
    least: int = 1  # fields
    most: int = 1
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "required": Kind("required-here", most=8),
    "forbidden": Kind("not-here", most=8),
    "any_of": Kind("one-of-needed", 2, 8),
    "at_most_one": Kind("not-together", 2, 8),
    "together": Kind("belongs-together", 2, 8),
    "differ": Kind("must-differ", 2, 2),
    "at_most": Kind("more-than-whole", 2, 2),
    "among": Kind("contradiction", needs=("values",)),
    "age": Kind("age-implausible", 0, 0, takes=("min", "max")),
    "days": Kind("span-too-long", 2, 2, needs=("max",)),
    "past": Kind("date-order", most=8),
    "period": Kind("bad-period", needs=("freqs", "until")),
    "mrz": Kind("mrz-check-digit"),
    "own_family": Kind("not-entitled"),
    "own_country": Kind("not-entitled"),
    "register": Kind("unknown-register", 2, 2),
}
"""Every kind of rule. `period` breaks under a second code, `period-not-over`, and `mrz` under `mrz-contradiction`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a contract."""

    kind: str
    fields: tuple[str, ...]
    condition: Mapping[str, tuple[object, ...]]
    values: tuple[str, ...] = ()  # among
    min: int | None = None  # age: completed years on the day of the event
    max: int | None = None  # age; days: most days from the first field to the second, both included
    freqs: tuple[str, ...] = ()  # period: CL_FREQ codes
    until: str = ""  # period: `begun` or `over` when it is reported, or `any`

    @property
    def code(self) -> str:
        """The code of the reason when the rule is broken."""
        return KINDS[self.kind].code

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """What the rule says."""
        conditions = [
            ("If {field} is {values}:", {"field": path, "values": ", ".join(map(_shown, values))})
            for path, values in self.condition.items()
        ]
        if self.kind == "period":
            return (*conditions, *((_FREQS[freq], {}) for freq in self.freqs), *_UNTIL[self.until])
        wording = self.kind
        if wording == "age":
            wording = "age-least" if self.max is None else "age-most" if self.min is None else "age"
        filled = {
            "first": self.fields[0] if self.fields else "",
            "last": self.fields[-1] if self.fields else "",
            "fields": ", ".join(self.fields),
            "values": ", ".join(self.values),
            "least": self.min,
            "most": self.max,
        }
        text = _SENTENCES[wording]
        return (*conditions, (text, {name: value for name, value in filled.items() if f"{{{name}}}" in text}))

    def __str__(self) -> str:
        """Return what the rule says, in English."""
        return " ".join(text.format(**values) for text, values in self.sentences)


_SENTENCES: Mapping[str, str] = {
    "required": "It is given.",
    "forbidden": "It is not given.",
    "any_of": "At least one of {fields} is given.",
    "at_most_one": "At most one of {fields} is given.",
    "together": "{fields} are given together, or none of them is.",
    "differ": "{first} and {last} differ.",
    "at_most": "{first} is not greater than {last}.",
    "among": "{first} is one of: {values}.",
    "age": "The person is {least} to {most} completed years old on the day of the event.",
    "age-least": "The person is at least {least} completed years old on the day of the event.",
    "age-most": "The person is at most {most} completed years old on the day of the event.",
    "days": "From {first} to {last} are at most {most} days, both included.",
    "past": "It is not after the day of the event.",
    "mrz": "The check digits agree (ICAO Doc 9303, part 4), and number, birth date and sex are those stated beside it.",
    "own_family": "An event family that the convention entitles the sender to report.",
    "own_country": "The sender's own country, where the sender speaks for one country.",
    "register": "{first} is an agency of the convention, and {last} a family that it may report.",
}
_FREQS: Mapping[str, str] = {
    "A": "A year, written 2018.",
    "S": "A half-year, written 2018-S1.",
    "Q": "A quarter, written 2018-Q1.",
    "M": "A month, written 2018-03.",
}
_UNTIL: Mapping[str, tuple[Sentence, ...]] = {
    "over": (("It is over when it is reported.", {}),),
    "begun": (("It has begun when it is reported.", {}),),
    "any": (),
}


def read(raw: Iterable[Mapping[str, Any]], paths: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules of a contract's `migex.rules`; raises Misconfigured, naming what is wrong with one."""
    known = frozenset(paths)
    return tuple(_rule(each, known) for each in raw)


def _rule(raw: Mapping[str, Any], known: frozenset[str]) -> Rule:
    name = str(raw.get("rule"))
    kind = KINDS.get(name)
    if kind is None:
        raise Misconfigured("contract-rule", f"A rule is one of {', '.join(KINDS)}; {name} is none.")
    fields, condition = tuple(raw.get("fields", ())), raw.get("if", {})
    given = set(raw) - {"rule", "fields", "if"}
    if not kind.least <= len(fields) <= kind.most:
        raise Misconfigured("contract-rule", f"{name} speaks of {kind.least} to {kind.most} fields.")
    if not set(kind.needs) <= given <= {*kind.needs, *kind.takes}:
        wanted = ", ".join((*kind.needs, *kind.takes)) or "none"
        raise Misconfigured("contract-rule", f"{name} has other parameters than it takes: {wanted}.")
    for path in {*fields, *condition} - known:
        raise Misconfigured("contract-rule", f"{name}: the contract has no field {path}.")
    return Rule(
        kind=name,
        fields=fields,
        condition={path: tuple(values) for path, values in condition.items()},
        values=tuple(raw.get("values", ())),
        min=raw.get("min"),
        max=raw.get("max"),
        freqs=tuple(raw.get("freqs", ())),
        until=raw.get("until", ""),
    )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
