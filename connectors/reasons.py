"""Reasons: why a delivery can be refused, each with a code that never changes its meaning.

The codes stand in `errors.csv`, with what each means and what the sender should do, in three languages. The text of a
reason comes from there, from the contract, and from where the rule is checked; never from what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from connectors.error_catalogue import remedy as usual_remedy
from connectors.texts import Text
from schemas.contracts import Family, Field, without_nested_null
from schemas.errors import Listed, Reason

MAX_REASONS = 20
"""Reasons of one delivery that are told; a sender mends these first."""

WHOLE = "(event)"
"""The field of a reason that concerns a delivery as a whole."""

FEW = 30
"""Codes of a list that are told in an answer; a longer list is looked up."""

_OF_PYDANTIC = {
    "missing": "missing-field",
    "extra_forbidden": "unknown-field",
    "string_too_long": "too-long",
    "too_long": "too-long",
    "string_too_short": "too-short",
    "too_short": "too-short",
    "greater_than_equal": "out-of-range",
    "less_than_equal": "out-of-range",
    "greater_than": "out-of-range",
    "less_than": "out-of-range",
    "enum": "not-in-codelist",
    "literal_error": "not-in-codelist",
    "string_pattern_mismatch": "bad-format",
    "timezone_aware": "bad-format",
    "timezone_naive": "bad-format",
    "value_error": "bad-format",
}
_WRONG_TYPE = frozenset(
    {"string_type", "string_sub_type", "int_type", "int_from_float", "int_parsing", "bool_type", "bool_parsing"}
    | {"list_type", "tuple_type", "model_type", "model_attributes_type", "dict_type", "finite_number", "none_required"}
    | {"date_type", "datetime_type", "int_parsing_size", "float_type"}
)

_KINDS: Mapping[str, Text] = MappingProxyType(
    {
        "string": Text.of("A text (JSON string)."),
        "int": Text.of("A whole number (JSON integer)."),
        "long": Text.of("A whole number (JSON integer)."),
        "boolean": Text.of("true or false."),
        "date": Text.of("A date (JSON string) such as 2018-03-01, ISO 8601."),
        "timestamp-millis": Text.of(
            "An instant (JSON string) with offset such as 2018-03-01T10:15:00+03:00, ISO 8601."
        ),
        "enum": Text.of("A text (JSON string)."),
        "array": Text.of("A list of texts (JSON array)."),
    }
)


def code_of(pydantic_type: str) -> str:
    """Return our code for the type of a pydantic error; a type that is new to us means a bad format."""
    return "wrong-type" if pydantic_type in _WRONG_TYPE else _OF_PYDANTIC.get(pydantic_type, "bad-format")


def reason(
    code: str, field: str, rule: str, remedy: str = "", listed: Listed | None = None, /, **values: object
) -> Reason:
    """Return a reason; without `remedy`, the usual one of the code.

    `rule` and `remedy` are sentences of `rules.csv`, `values` are filled into both. `listed` is the code list that
    refused, if one did.
    """
    what_holds = rule if isinstance(rule, Text) else Text.of(rule, **values)
    return Reason(code, field, what_holds, Text.of(remedy or usual_remedy(code), **values), listed)


def of_list(family: Family, code: str, path: str, listed: Listed, codes: tuple[str, ...]) -> Reason:
    """Return the reason why a code list refused a value; `codes` are those that hold on the day it was asked for.

    A short list is told whole; of a long one a code that holds, and where all of them are.
    """
    few = 0 < len(codes) <= FEW
    if code == "code-not-valid-at-date":
        rule = "A code of the list {list} that held on the local day of the event."
        told = "A code of the list {list} that held on the local day of the event: {words}."
    else:
        rule, told = "A code of the list {list}.", "A code of the list {list}: {words}."
    words = {"list": listed.list, "words": ", ".join(codes)}
    if few or not codes:
        return reason(code, path, told if few else rule, "", listed, **words)
    example = _example(family, path)
    words["code"] = example if example in codes else codes[0]
    words["address"] = f"/v1/contracts/{family.name}/{family.version}?format=codes"
    words["address"] += "" if listed.day is None else f"&at={listed.day}"
    remedy = "Take a code of the list, such as {code}; the gateway shows all of them at {address}"
    return reason(code, path, rule, remedy, listed, **words)


def _example(family: Family, path: str) -> str:
    """Return the contract's own example of a field, or of an element of a list."""
    field = next(each for each in family.fields if each.path == path.partition("[")[0])
    return str(field.example[0] if isinstance(field.example, list) and field.example else field.example)


def of_shape(family: Family, code: str, path: str, ordinals: Sequence[int] = ()) -> Reason:
    """Return the reason for a value that departs from the contract's shape; the rule is the contract's own words.

    `ordinals` say of unknown fields the how-manieth they are in their object, from 1.
    """
    field = next((f for f in family.fields if f.path == path.partition("[")[0]), None)
    if code == "unknown-field":
        rule = "The contract {family} has no such field here; counted from 1, it is number {words} of those sent."
        return reason(code, path, rule, family=family.name, words=", ".join(map(str, ordinals)))
    if field is None:
        return reason(code, path, "A JSON object with the fields of the contract.")
    return reason(code, path, Text.joined(_rule(family, field, code, "[" in path)))


def told(reasons: Any) -> tuple[Reason, ...]:
    """Return the reasons as they are told: one for each code and field, in order, at most `MAX_REASONS`."""
    distinct = {(each.code, each.field): each for each in reasons}
    return tuple(distinct.values())[:MAX_REASONS]


def _rule(family: Family, field: Field, code: str, element: bool) -> Iterator[Text]:
    yield _KINDS["string" if element else field.type]
    if code in {"too-long", "too-short"}:
        yield from _length(field)
    elif code == "out-of-range":
        if field.minimum is not None:
            yield Text.of("It is at least {n}.", n=field.minimum)
        if field.maximum is not None:
            yield Text.of("It is at most {n}.", n=field.maximum)
    elif code == "bad-format" and field.pattern and field.type == "string":
        yield Text.of("It matches {pattern}", pattern=field.pattern)
    elif field.type == "enum":
        yield Text.of("One of: {words}.", words=", ".join(_symbols(family.avsc, field.path.split("."))))
    if code == "missing-field" and field.doc:
        yield Text.of(field.doc)


def _length(field: Field) -> Iterator[Text]:
    if field.type == "array":
        least, most = "It has at least {n} elements.", "It has at most {n} elements."
    else:
        least, most = "It has at least {n} characters.", "It has at most {n} characters."
    if field.min_length is not None:
        yield Text.of(least, n=field.min_length)
    if field.max_length is not None:
        yield Text.of(most, n=field.max_length)


def _symbols(record: Any, path: list[str]) -> tuple[str, ...]:
    """Return the words of an enum of the contract."""
    kind = next(without_nested_null(each["type"])[0] for each in record["fields"] if each["name"] == path[0])
    return tuple(kind["symbols"]) if len(path) == 1 else _symbols(kind, path[1:])
