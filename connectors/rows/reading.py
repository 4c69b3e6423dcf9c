"""Reading: from an agency's file to its events, one by one; CSV, XLSX, JSON Lines, JSON, or an Avro container file.

`rows` is what everybody asks who takes files: the file door, `migex publish`, preflight. It keeps to this:

- A row that cannot be read is a row with a refusal; the others go on. Rows that are read are not yet checked: that is
  admission's part, as with what comes over HTTP. Their events have the JSON form of the contract.
- A file that cannot be read raises Refused, at the beginning or after any row: nobody can say what the rest holds.
- Numbers of rows are what the agency's people see: the line where a row begins in CSV and JSON Lines (from 1, the
  header too), the row of the sheet in XLSX, the ordinal of the event (from 1) in JSON and Avro. They rise.
- The same file under the same mapping gives the same rows with the same payloads, whenever it is read.
- Memory is that of one row for JSON Lines and CSV, that and the texts that cells share (44 MiB at most) for XLSX, and
  the whole file, at most `WHOLE_BYTES`, for JSON and Avro.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import orjson

from connectors.avro_file import AVRO, Bounds, too_large_body, too_many
from connectors.batch import JSON, NDJSON, batch_of
from connectors.places import Values
from connectors.reasons import WHOLE, reason
from connectors.rows import csv_table, workbook
from connectors.rows.mapping import BY_FIELD, TableMapping
from connectors.rows.table import Blank, Cells, Table, bad_table
from connectors.strict_json import parse, too_large
from schemas.contracts import Family
from schemas.errors import Misconfigured, Refused

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {".csv": CSV, ".tsv": CSV, ".xlsx": XLSX, ".jsonl": NDJSON, ".ndjson": NDJSON, ".json": JSON, ".avro": AVRO}
)
"""How a file's name ends -> media type of what it holds."""


WHOLE_BYTES = 16 << 20
"""The longest file of a kind that is read as a whole: a JSON array, or Avro, unpacked."""

WHOLE_EVENTS = 10_000
"""Elements of a JSON array: the objects that stand for them are made before they can be counted."""

PORTION_BYTES = 1 << 19
"""Bytes of the rows that are held at once; what they say may take twenty times that."""


class Row(NamedTuple):
    """One event of a file, or why there is none."""

    number: int
    payload: bytes  # names the delivery: equal for equal rows; of tables the event, or the cells, as JSON
    event: Values | Refused


def kind_of(name: str) -> str:
    """Return the media type that a file's name tells; raises Misconfigured for a name that tells none."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise Misconfigured("bad-file", f"A file's name ends in one of {', '.join(SUFFIXES)}.")
    return SUFFIXES[suffix]


def portion(some: Iterator[Row], most: int) -> Iterator[Row]:
    """Yield the next rows, so many at most, and fewer where they are long; raises what reading them raises."""
    size = 0
    for row in islice(some, most):
        yield row
        size += len(row.payload)
        if size > PORTION_BYTES:
            return


def rows(file: BinaryIO, kind: str, family: Family, bounds: Bounds, mapping: TableMapping = BY_FIELD) -> Iterator[Row]:
    """Yield the rows of a file that is open for reading bytes and can be sought in; see above for what is promised.

    `kind` is a media type of `SUFFIXES`; `bounds` are those of one file: events at most, bytes of one event, bytes of
    the file (of a workbook: packed). `mapping` concerns tables alone. Raises Refused for the file as a whole, and
    Misconfigured when the mapping names a field that the contract has not.
    """
    if kind not in SUFFIXES.values():
        rule = "A body is one of: {words}."
        words = ", ".join(dict.fromkeys(SUFFIXES.values()))
        raise Refused((reason("unsupported-media-type", WHOLE, rule, words=words),))
    _check_size(file, bounds)
    for count, row in enumerate(_rows(file, kind, family, bounds, mapping)):
        if count == bounds.events:
            raise too_many(bounds.events)
        yield row


def _rows(file: BinaryIO, kind: str, family: Family, bounds: Bounds, mapping: TableMapping) -> Iterator[Row]:
    if kind == NDJSON:
        return _lines(file, bounds)
    if kind in {JSON, AVRO}:
        most = min(bounds.events, WHOLE_EVENTS) if kind == JSON else bounds.events
        return _batch(file, kind, family, bounds._replace(body_bytes=min(bounds.body_bytes, WHOLE_BYTES), events=most))
    mapping.check(family)
    if kind == CSV:
        return _events(csv_table.cells_of(file, bounds), family, bounds, mapping, padded=False)
    return _events(workbook.cells_of(file, mapping.sheet), family, bounds, mapping, padded=True)


def _check_size(file: BinaryIO, bounds: Bounds) -> None:
    begin = file.tell()
    size = file.seek(0, 2) - begin
    file.seek(begin)
    if size > bounds.body_bytes:
        raise Refused((too_large_body(bounds.body_bytes),))


def _batch(file: BinaryIO, kind: str, family: Family, bounds: Bounds) -> Iterator[Row]:
    _check_size(file, bounds)
    batch = batch_of(kind, file.read(), family.name, bounds)
    for number, (payload, event) in enumerate(batch.events, 1):
        yield Row(number, payload, event)


def _lines(file: BinaryIO, bounds: Bounds) -> Iterator[Row]:
    most = bounds.event_bytes + 2
    number, blank = 0, Blank(bounds)
    while line := file.readline(most):
        number += 1
        payload = line.strip(b" \t\r\n")
        while len(line) == most and not line.endswith(b"\n"):  # nothing is kept of what is too long
            line = file.readline(most)
        if payload:
            yield Row(number, payload, _parsed(payload, bounds))
        else:
            blank.add()


def _parsed(payload: bytes, bounds: Bounds) -> Values | Refused:
    try:
        return parse(payload, bounds.event_bytes)
    except Refused as refusal:
        return refusal


def _events(
    found: Iterator[tuple[int, Cells | Refused]] | Iterator[tuple[int, Cells]],
    family: Family,
    bounds: Bounds,
    mapping: TableMapping,
    *,
    padded: bool,
) -> Iterator[Row]:
    """Yield the rows below the header, which is the first row that is not empty."""
    table: Table | None = None
    blank = Blank(bounds)
    for number, cells in found:
        if isinstance(cells, Refused):
            if table is None:
                raise cells
            yield Row(number, b"%d" % number, cells)
        elif table is None:
            table = Table(cells, family, mapping)
        elif any(each not in (None, "") for each in cells):
            yield _row(number, cells, table, bounds, padded)
        else:
            blank.add()
    if table is None:
        raise bad_table("A table begins with a header.")


def _row(number: int, cells: Cells, table: Table, bounds: Bounds, padded: bool) -> Row:
    try:
        event = table.event(cells, padded=padded)
    except Refused as refusal:
        return Row(number, orjson.dumps(cells, default=str), refusal)
    payload = orjson.dumps(event, default=str)
    if len(payload) > bounds.event_bytes:
        return Row(number, payload[: bounds.event_bytes], Refused((too_large(bounds.event_bytes),)))
    return Row(number, payload, event)
