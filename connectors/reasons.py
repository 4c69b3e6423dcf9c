"""Reasons: why a delivery can be refused, each with a code that never changes its meaning.

The text of a reason comes from the contract and from here, never from what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from schemas.contracts import Family, Field
from schemas.errors import Reason

MAX_REASONS = 20
"""Reasons of one delivery that are told; a sender mends these first."""

WHOLE = "(event)"
"""The field of a reason that concerns a delivery as a whole."""

CODES: Mapping[str, str] = MappingProxyType(
    {
        "not-json": "The bytes are not JSON (RFC 8259): cut off, no UTF-8, nested too deeply, or another format.",
        "duplicate-field": "An object names the same field twice, so that nobody can say which value is meant.",
        "too-large": "The event, or the whole request, is larger than the door takes.",
        "too-many": "The request holds more events than the door takes at once.",
        "malformed-avro": "The bytes are not one Avro record under the schema that their schema id names.",
        "trailing-bytes": "Bytes follow the end of the Avro record.",
        "unknown-schema": "No contract has this schema id.",
        "wrong-family": "The schema id belongs to another event family than the topic.",
        "unknown-family": "There is no event family of this name.",
        "not-entitled": "The convention does not entitle this agency to report events of this family.",
        "unsupported-media-type": "The gateway reads application/json and application/x-ndjson only.",
        "missing-field": "A field that the contract requires is absent.",
        "unknown-field": "A field is not in the contract; nothing is silently ignored.",
        "wrong-type": "A value is of another JSON type than the contract says.",
        "bad-format": "A text is not written as the contract says.",
        "too-short": "A text or list has fewer elements than the contract demands.",
        "too-long": "A text or list has more elements than the contract allows.",
        "out-of-range": "A number lies outside the range of the contract.",
        "not-in-codelist": "A code does not stand in its code list.",
        "code-not-valid-at-date": "A code stands in its list, but did not hold on the local day of the event.",
        "op-needs-body": "A CREATE or CORRECT lacks the person, the event or the instant; only a CANCEL may.",
        "birth-unknown": "Neither the date nor the year of birth is given.",
        "birth-contradiction": "Date and year of birth contradict each other.",
        "date-implausible": "A date lies so far in the past or future that it must be an error.",
        "date-order": "A date lies before another one that must come first.",
        "door-defect": "The door failed on this event by its own fault; it is counted, and watched for.",
    }
)
"""Every code of a reason, with what it means; `GET /v1/errors/{code}` shows them."""

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

_KINDS = {
    "string": "A text (JSON string).",
    "int": "A whole number (JSON integer).",
    "long": "A whole number (JSON integer).",
    "boolean": "true or false.",
    "date": "A date (JSON string) such as 2018-03-01, ISO 8601.",
    "timestamp-millis": "An instant (JSON string) with offset such as 2018-03-01T10:15:00+03:00, ISO 8601.",
    "enum": "One of the words of the contract.",
    "array": "A list of texts (JSON array).",
}

_REMEDIES = {
    "missing-field": "Add it.",
    "unknown-field": "Leave it out, or look for the right name in the contract.",
    "wrong-type": "Send the value in this type.",
    "bad-format": "Write the value so.",
    "too-short": "Send the full value, or null where the contract allows it.",
    "too-long": "Shorten it; is it the right field?",
    "out-of-range": "Check the number and its unit.",
    "not-in-codelist": "Take a code of the list.",
    "code-not-valid-at-date": "Take the code that held on that day, or correct the date.",
    "op-needs-body": "Send the whole event, or op CANCEL to withdraw it.",
    "date-implausible": "Check year, month and day, and the clock of the sending system.",
    "date-order": "Check both dates.",
}


def code_of(pydantic_type: str) -> str:
    """Return our code for the type of a pydantic error; a type that is new to us means a bad format."""
    return "wrong-type" if pydantic_type in _WRONG_TYPE else _OF_PYDANTIC.get(pydantic_type, "bad-format")


def reason(code: str, field: str, rule: str, remedy: str = "") -> Reason:
    """Return a reason; without `remedy`, the usual one of the code."""
    return Reason(code, field, rule, remedy or _REMEDIES[code])


def of_shape(family: Family, code: str, path: str) -> Reason:
    """Return the reason for a value that departs from the contract's shape; the rule is the contract's own words."""
    field = next((f for f in family.fields if f.path == path.partition("[")[0]), None)
    if code == "unknown-field":
        return reason(code, path, f"The contract {family.name} has no such field here.")
    if field is None:
        return reason(code, path, "A JSON object with the fields of the contract.")
    return reason(code, path, _rule(field, code, "[" in path))


def _rule(field: Field, code: str, element: bool) -> str:
    kind = _KINDS["string" if element else field.type]
    if code in {"too-long", "too-short"}:
        unit = "elements" if field.type == "array" else "characters"
        limits = [("at least", field.min_length), ("at most", field.max_length)]
        return " ".join([kind, *(f"It has {word} {n} {unit}." for word, n in limits if n is not None)])
    if code == "out-of-range":
        limits = [("at least", field.minimum), ("at most", field.maximum)]
        return " ".join([kind, *(f"It is {word} {n}." for word, n in limits if n is not None)])
    if code == "bad-format" and field.pattern and field.type == "string":
        return f"{kind} It matches {field.pattern}"
    if code == "not-in-codelist":
        return f"{kind} {field.doc}"
    return f"{kind} {field.doc}" if code == "missing-field" else kind


def told(reasons: Any) -> tuple[Reason, ...]:
    """Return the reasons as they are told: one for each code and field, in order, at most `MAX_REASONS`."""
    distinct = {(each.code, each.field): each for each in reasons}
    return tuple(distinct.values())[:MAX_REASONS]
