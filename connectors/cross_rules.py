"""Rules across fields: the contracts' own (`schemas.contract_rules`), made into tests once, when a door starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from connectors import mrz
from connectors.places import EPOCH, Parts, Place
from connectors.reasons import reason
from connectors.texts import Text
from schemas import names, periods
from schemas.contract_rules import Rule
from schemas.conventions import Agency, Convention
from schemas.errors import Reason

DAY_MS = 86_400_000


class Asked(NamedTuple):
    """What a rule may ask besides the event."""

    day: int | None  # local day of the happening, days since 1970-01-01; None: it cannot be known
    accepted_at: int  # the door's clock, ms since 1970
    agency: Agency  # who sends it
    convention: Convention


Test = Callable[[Parts, Asked], Iterator[Reason]]
"""Yields why an event breaks a rule; must take whatever is left of an event of a wrong shape."""

_Values = Sequence[Any]  # of the rule's fields, in their order
_Finder = Callable[[Rule, _Values, Parts, Asked], Iterator[int | tuple[int, str]]]
"""Yields the positions of the fields that break the rule, with the code when it is another than the rule's."""


def compiled(rule: Rule, at: Mapping[str, Place]) -> Test:
    """Return the rule as a test; `at` tells where each path of the contract stands."""
    places = [at[path] for path in rule.fields]
    condition = [(at[path], values) for path, values in rule.condition.items()]
    told = Text.joined(Text.of(sentence, **values) for sentence, values in rule.sentences)
    if rule.kind == "age":
        return _age_test(rule, told, at, condition)
    find = _FINDERS[rule.kind]

    def test(parts: Parts, asked: Asked) -> Iterator[Reason]:
        if not _met(condition, parts) or (places and parts[places[0].part] is None):
            return
        for found in find(rule, [place.value(parts) for place in places], parts, asked):
            i, code = found if isinstance(found, tuple) else (found, rule.code)
            yield reason(code, rule.fields[i], told)

    return test


def _met(condition: Sequence[tuple[Place, tuple[object, ...]]], parts: Parts) -> bool:
    return all(place.value(parts) in values for place, values in condition)


def _given(value: Any) -> bool:
    """Whether a value says something: a flag does when it is set."""
    return value is not None and value is not False


def _required(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    return (i for i, value in enumerate(values) if not _given(value))


def _forbidden(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    return (i for i, value in enumerate(values) if _given(value))


def _any_of(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if not any(map(_given, values)):
        yield 0


def _at_most_one(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    yield from [i for i, value in enumerate(values) if _given(value)][1:]


def _together(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if any(map(_given, values)):
        yield from _required(rule, values, parts, asked)


def _differ(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if values[0] is not None and values[0] == values[1]:
        yield 1


def _at_most(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    part, whole = values
    if part is not None and whole is not None and part > whole:
        yield 0


def _among(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if values[0] is not None and values[0] not in rule.values:
        yield 0


def _days(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    first, last = values
    if first is not None and last is not None and (last - first) >= timedelta(days=rule.max or 0):
        yield 1


def _past(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if asked.day is not None:
        yield from (i for i, on in enumerate(values) if on is not None and on.toordinal() - EPOCH > asked.day)


def _period(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int | tuple[int, str]]:
    if values[0] is None:
        return
    try:
        if periods.frequency(values[0]) not in rule.freqs:
            yield 0
            return
    except ValueError:
        yield 0
        return
    bound = {"over": periods.last_day, "begun": periods.first_day}.get(rule.until)
    # a day's grace, because clocks differ
    if bound is not None and bound(values[0]).toordinal() - EPOCH > asked.accepted_at // DAY_MS + 1:
        yield 0, "period-not-over"


def _mrz(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int | tuple[int, str]]:
    zone = values[0]
    if zone is None:
        return
    if not mrz.agrees(zone):
        yield 0
    elif _contradicts(mrz.holder(zone), parts):
        yield 0, "mrz-contradiction"


def _contradicts(holder: mrz.Holder, parts: Parts) -> bool:
    person = next((each for each in parts[1:] if each is not None and "birth_date" in each), None)
    if person is None:
        return False
    document = next((each for each in parts[1:] if each is not None and "issuer" in each), None)
    number = None if document is None else document["number"]
    born, sex = person["birth_date"], person["sex"]
    return (
        # a number of more than nine characters goes on in the optional data: what is here is its beginning
        (number is not None and not names.number(number).startswith(holder.number))
        or (born is not None and holder.born.isdecimal() and born.strftime("%y%m%d") != holder.born)
        or (holder.sex is not None and sex in {1, 2} and sex != holder.sex)
    )


def _own_family(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if values[0] is not None and values[0] not in asked.agency.families:
        yield 0


def _own_country(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    if asked.agency.country is not None and values[0] not in {None, asked.agency.country}:
        yield 0


def _register(rule: Rule, values: _Values, parts: Parts, asked: Asked) -> Iterator[int]:
    code, family = values
    agency = asked.convention.agencies.get(code)
    if agency is None:
        yield 0
    elif family not in agency.families:
        yield 1


def _age_test(rule: Rule, told: Text, at: Mapping[str, Place], condition: Sequence[tuple[Place, Any]]) -> Test:
    birth, year = (next(at[path] for path in at if path.endswith(f".birth_{kind}")) for kind in ("date", "year"))

    def test(parts: Parts, asked: Asked) -> Iterator[Reason]:
        born = birth.value(parts)
        known = year.value(parts) if born is None else born.year
        if asked.day is None or known is None or not _met(condition, parts):
            return
        on = date.fromordinal(asked.day + EPOCH)
        had = born is not None and (on.month, on.day) >= (born.month, born.day)
        oldest = on.year - known - (born is not None and not had)
        youngest = oldest - (born is None)  # of a person whose birthday is not known, either may be true
        if (rule.min is not None and oldest < rule.min) or (rule.max is not None and youngest > rule.max):
            yield reason(rule.code, birth.field.path, told)

    return test


_FINDERS: Mapping[str, _Finder] = {
    "required": _required,
    "forbidden": _forbidden,
    "any_of": _any_of,
    "at_most_one": _at_most_one,
    "together": _together,
    "differ": _differ,
    "at_most": _at_most,
    "among": _among,
    "days": _days,
    "past": _past,
    "period": _period,
    "mrz": _mrz,
    "own_family": _own_family,
    "own_country": _own_country,
    "register": _register,
}
