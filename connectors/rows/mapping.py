"""Mapping: how an agency's table is to be read where its columns are not called as the contract's fields are.

A YAML or JSON file (JSON is YAML), every part of which may be left out:

    columns:                          # title of a column: field of the contract, by its dotted path
      Номер записи: header.record_no
      Пол: person.sex
    ignored: [Примечание]             # titles of columns that are not read
    constants:                        # field: the value that it has in every row without a cell of its own
      header.source_system: GPK-7
    values:                           # field: the agency's words, and the contract's codes for them
      person.sex: {М: 1, Ж: 2}
    dates: ["%d.%m.%Y"]               # how days are written, besides ISO 8601 (strptime's directives)
    moments: ["%d.%m.%Y %H:%M"]       # how instants are written, besides ISO 8601
    zone: Europe/Minsk                # of instants without an offset
    separator: "|"                    # between the elements of a list in one cell
    sheet: Лист1                      # of a workbook with several visible sheets

A title that the mapping does not name is a field's own path, or its last part where that is one field's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from schemas.contracts import Family
from schemas.errors import Misconfigured

MAX_BYTES = 256 * 1024
"""The longest mapping file."""


def _dated(form: str) -> str:
    if not {"%d", "%m", "%Y"} <= {form[i : i + 2] for i in range(len(form))}:
        raise ValueError("a form of dates has %d, %m and %Y: two digits do not tell the century")
    return form


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no time zone of the IANA's has this name") from None
    return name


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value  # YAML reads 2018-03-01 as a date


Value = Annotated[str | int | bool | date | datetime | list[str] | None, AfterValidator(_as_json)]
Form = Annotated[str, AfterValidator(_dated)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class TableMapping:
    """How an agency's table is to be read; without arguments: as one whose columns have the contract's names."""

    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    constants: Mapping[str, Value] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    dates: list[Form] = field(default_factory=list)
    moments: list[Form] = field(default_factory=list)
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    separator: Annotated[str, Field(min_length=1, max_length=3)] = "|"
    sheet: str | None = None

    def check(self, family: Family) -> None:
        """Raise Misconfigured when the mapping names a field that the family's contract has not."""
        known = {each.path for each in family.fields}
        for path in (*self.columns.values(), *self.constants, *self.values):
            if path not in known:
                detail = f"The mapping names {path!r}, which is no field of {family.name}: docs/events.md lists them."
                raise Misconfigured("bad-mapping", detail)


BY_FIELD = TableMapping()
"""Columns are called as the fields are."""


def load(path: Path) -> TableMapping:
    """Return the mapping that a file holds; raises Misconfigured with the part that is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Misconfigured("no-file", f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise Misconfigured("bad-mapping", f"{path.name} is longer than {MAX_BYTES} bytes.")
    try:
        return TableMapping(**(yaml.safe_load(content) or {}))
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError, TypeError):
        raise Misconfigured(
            "bad-mapping", f"{path.name} is no YAML in UTF-8 with names and what they mean: see docs/rows.md."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured("bad-mapping", f"{path.name}: {where}: {first['msg']}; see docs/rows.md.") from None
