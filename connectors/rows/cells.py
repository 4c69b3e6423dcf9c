"""Cells: what one cell of a table says, in the JSON form of its field.

A text that is none of the field's type stays as it is: admission refuses it by the same rule, and with the same words,
as in JSON. Refused here is only what admission could not see: what a workbook has made of a text, and a date that is
not written as the mapping says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from connectors.reasons import reason
from connectors.rows.mapping import TableMapping
from schemas.contracts import Field
from schemas.errors import Refused

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)
_PLACED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
EXACT_DIGITS = 15
"""Digits of a number that a workbook keeps; further ones it has replaced by zeros."""


class Number(str):
    """A number of a workbook, in digits."""


class Flaw(str):
    """What stands where a workbook has an error, such as #N/A, instead of a value."""


FLAW = Flaw("#")


Cell = str | bool | datetime
"""What a cell holds: a text (of CSV: always), `Number`, `Flaw`, a truth value, or a day with time as a workbook has it.
"""


def reader_of(field: Field, mapping: TableMapping) -> Callable[[Cell], Any]:
    """Return what turns a cell that is not empty into the field's value; it raises Refused with one reason."""
    read = _reader_of(field, mapping)
    words = mapping.values.get(field.path)

    def worded(cell: Cell) -> Any:
        if isinstance(cell, Flaw):
            raise Refused((reason("bad-cell", field.path, "A cell holds a value, not an error of the workbook."),))
        if words is not None and isinstance(cell, str) and cell in words:
            return words[cell]
        return read(cell)

    return worded


def _reader_of(field: Field, mapping: TableMapping) -> Callable[[Cell], Any]:
    if field.type in {"int", "long"}:
        return _whole
    if field.type == "boolean":
        return lambda cell: _BOOLEANS.get(cell.lower(), cell) if isinstance(cell, str) else cell
    if field.type == "date":
        return _dates(field, mapping.dates)
    if field.type == "timestamp-millis":
        return _moments(field, mapping)
    if field.type == "array":
        separator = mapping.separator
        return lambda cell: [each.strip() for each in _text(field, cell).split(separator)]
    return lambda cell: _text(field, cell)


def _whole(cell: Cell) -> Any:
    return int(cell) if isinstance(cell, str) and _WHOLE.fullmatch(cell) else cell


def _text(field: Field, cell: Cell) -> str:
    """Return a text as it was written; a workbook that took it for a date or a truth value has lost it."""
    if not isinstance(cell, str):
        raise Refused(
            (
                reason(
                    "bad-cell",
                    field.path,
                    "The workbook made a date or a truth value of a text.",
                    "Make the column one of texts.",
                ),
            )
        )
    if isinstance(cell, Number) and sum(map(str.isdigit, cell)) > EXACT_DIGITS:
        rule = "A workbook keeps {n} digits of a number."
        raise Refused((reason("bad-cell", field.path, rule, "Make the column one of texts.", n=EXACT_DIGITS),))
    return cell


def _dates(field: Field, forms: Sequence[str]) -> Callable[[Cell], Any]:
    def read(cell: Cell) -> Any:
        if isinstance(cell, datetime):
            if cell.time() != time():
                raise Refused((reason("bad-cell", field.path, "A day has no time of day."),))
            return cell.date().isoformat()
        if not isinstance(cell, str) or not forms or _DAY.fullmatch(cell):
            return cell
        return _parsed(field, cell, forms).date().isoformat()

    return read


def _moments(field: Field, mapping: TableMapping) -> Callable[[Cell], Any]:
    zone = None if mapping.zone is None else ZoneInfo(mapping.zone)

    def read(cell: Cell) -> Any:
        if isinstance(cell, datetime):
            return _placed(field, cell, zone)
        if not isinstance(cell, str):
            return cell
        if zone is not None and _LOCAL.fullmatch(cell):
            return _placed(field, _parsed(field, cell.replace("T", " "), _LOCAL_FORMS), zone)
        if not mapping.moments or _PLACED.fullmatch(cell):
            return cell
        return _placed(field, _parsed(field, cell, mapping.moments), zone)

    return read


def _parsed(field: Field, text: str, forms: Sequence[str]) -> datetime:
    for form in forms:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007  # the zone comes from the mapping, if one is needed
        except ValueError:
            continue
    rule = "As ISO 8601 has it, or as the mapping says: {words}."
    raise Refused((reason("bad-cell", field.path, rule, words=", ".join(forms)),))


def _placed(field: Field, at: datetime, zone: ZoneInfo | None) -> str:
    """Return an instant with its offset; one that a change of the clocks made doubtful is refused."""
    if at.tzinfo is not None:
        return at.isoformat()
    if zone is None:
        raise Refused(
            (reason("bad-cell", field.path, "An instant has an offset, or the mapping names the time zone."),)
        )
    local = at.replace(tzinfo=zone)
    try:
        doubtful = local.utcoffset() != local.replace(fold=1).utcoffset()
        local.astimezone(UTC)
    except OverflowError:
        raise Refused((reason("bad-cell", field.path, "Between 1900 and 2200."),)) from None
    if doubtful:
        raise Refused((reason("bad-cell", field.path, "The clocks were changed at that time: write the offset."),))
    return local.isoformat()
