"""Shape: whether an event has the fields that its contract names, each of its type.

The generated pydantic model decides. Where it refuses, what is left of the event is still read, so that the sender
hears of wrong codes and dates in the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from connectors.places import Parts, Place, Values
from connectors.plan import Plan
from connectors.reasons import FEW, WHOLE, code_of, of_shape
from schemas.contracts import FAMILIES
from schemas.errors import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_NAMES = frozenset(part for family in FAMILIES.values() for field in family.fields for part in field.path.split("."))
"""Every name that a contract uses; another one was the sender's idea and may be anything, even a person's name."""


def shaped(plan: Plan, event: Values) -> tuple[Parts, list[Reason]]:
    """Return the event's parts with instants in ms since 1970, and what is wrong with its shape.

    When something is, the parts hold what could be read, and None for the rest.
    """
    try:
        parts = _open(plan, plan.model.model_validate(event))
    except ValidationError as error:
        reasons = _reasons(plan, event, error.errors(include_url=False, include_input=False, include_context=False))
        return _left_over(plan, event, {each.field for each in reasons}), reasons
    _settle(parts, plan.moments)
    return parts, []


def _open(plan: Plan, model: BaseModel) -> Parts:
    """Return the fields of the model and of those in it; faster than a dump, which copies every value."""
    parts: list[Values | None] = [vars(model)]
    for part in plan.parts[1:]:
        owner = parts[part.parent]
        value = None if owner is None else owner[part.name]
        if owner is not None and value is not None:
            value = owner[part.name] = vars(value)
        parts.append(value)
    return parts


def _settle(parts: Parts, moments: Iterable[Place]) -> None:
    """Replace instants by whole milliseconds since 1970, as Avro has them."""
    for part, name, _ in moments:
        values = parts[part]
        if values is not None and (at := values[name]) is not None:
            values[name] = (at - _EPOCH) // _MILLISECOND


def _reasons(plan: Plan, event: Values, errors: Sequence[ErrorDetails]) -> list[Reason]:
    """Translate, each code and field once; a field that no contract knows is told by its place: its name may be any."""
    found: dict[tuple[str, str], list[int]] = {}
    for error in errors:
        known = [each for each in error["loc"] if each in _NAMES or type(each) is int]
        ordinals = found.setdefault((code_of(error["type"]), _path(known) or WHOLE), [])
        if len(ordinals) < FEW:
            ordinals.append(_ordinal(event, error["loc"]))
    return [of_shape(plan.family, code, path, ordinals) for (code, path), ordinals in found.items()]


def _ordinal(event: Values, loc: Sequence[int | str]) -> int:
    """Return the how-manieth field of its object a place in an event is, from 1; 0: it is not there."""
    *way, last = loc
    owner: Any = event
    for part in way:
        owner = owner.get(part) if isinstance(owner, dict) else None
    return list(owner).index(last) + 1 if isinstance(owner, dict) and last in owner else 0


def _path(loc: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _left_over(plan: Plan, event: Values, wrong: set[str]) -> Parts:
    """Return what can be read of an ill-shaped event; every field is there, None where nothing could be read."""
    raw = plan.split(event)
    wrong = {path.partition("[")[0] for path in wrong}
    parts: list[Values | None] = [None if values is None else {} for values in raw]
    by_prefix = {part.prefix: i for i, part in enumerate(plan.parts)}
    for field in plan.family.fields:
        position = by_prefix[field.path.rpartition(".")[0]]
        values, source = parts[position], raw[position]
        if values is not None and source is not None:
            value = None if field.path in wrong else source.get(field.name)
            values[field.name] = _read(_READERS.get(field.type), value)
    return parts


def _read(reader: Callable[[Any], object] | None, value: object) -> object:
    if isinstance(value, datetime):  # as a decoder of Avro gives it
        return (value - _EPOCH) // _MILLISECOND
    if reader is None or not isinstance(value, str):
        return value
    try:
        return reader(value)
    except (ValueError, OverflowError):
        return None


_READERS: dict[str, Callable[[Any], object]] = {
    "date": date.fromisoformat,
    "timestamp-millis": lambda text: (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND,
}
