"""Rows: the events of a file, each with its number, as far as the kind of file that its name tells can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from connectors.places import Values
from connectors.reasons import WHOLE, reason
from connectors.strict_json import MAX_EVENT_BYTES, parse, too_large
from schemas.errors import Refused


class Row(NamedTuple):
    """An event of a file, or why it is none."""

    number: int  # from 1, as the sender counts: lines of a text, rows of a sheet, data of an Avro file
    event: Values | Refused


def rows_of(file: BinaryIO, name: str) -> Iterator[Row]:
    """Yield the events of a file; raises Refused when it turns out to be none as a whole."""
    kind = PurePath(name).suffix.lower()
    if kind not in _READERS:
        rule = "A file is of one of these kinds, and its name ends so: {words}."
        raise Refused((reason("unknown-file-type", WHOLE, rule, words=", ".join(_READERS)),))
    return _READERS[kind](file)


def _lines(file: BinaryIO) -> Iterator[Row]:
    number = 0
    while line := file.readline(MAX_EVENT_BYTES + 2):
        number += 1
        whole = line.endswith(b"\n") or len(line) <= MAX_EVENT_BYTES
        while not whole:  # pass over the rest, a piece at a time
            rest = file.readline(MAX_EVENT_BYTES)
            if not rest or rest.endswith(b"\n"):
                break
        if not whole:
            yield Row(number, Refused((too_large(MAX_EVENT_BYTES),)))
        elif line.strip():
            yield Row(number, _event(line.rstrip(b"\r\n")))


def _event(line: bytes) -> Values | Refused:
    try:
        return parse(line)
    except Refused as refusal:
        return refusal


_READERS: MappingProxyType[str, Callable[[BinaryIO], Iterator[Row]]] = MappingProxyType(
    {".jsonl": _lines, ".ndjson": _lines}
)
