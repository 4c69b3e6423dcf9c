"""Preflight report: findings as JSON or CSV, written piece by piece, however long the file is."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from connectors.batch import JSON
from connectors.preflight import Finding, Preflight
from connectors.rows import CSV
from connectors.texts import translated
from schemas.errors import Reason

COLUMNS = (
    "row",
    "answer",
    "record_no",
    "revision",
    "in_file",
    "of_row",
    "published",
    "code",
    "field",
    "rule",
    "remedy",
)
"""A row of the file has a line of CSV for each reason against it, and one if there is none."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def report(
    preflight: Preflight, findings: AsyncIterator[list[Finding]], form: str, lang: str
) -> AsyncIterator[bytes]:
    """Yield the report in one of `FORMS`; what broke the file off stands at its end."""
    begin, told, end = FORMS[form]
    yield begin()
    first = True
    async for some in findings:
        if some:
            yield told(some, lang, first)
            first = False
    yield end(preflight, lang)


def _json_begin() -> bytes:
    return b'{"rows":['


def _json_told(found: list[Finding], lang: str, first: bool) -> bytes:
    return (b"" if first else b",") + b",\n".join(orjson.dumps(_finding(each, lang)) for each in found)


def _json_end(preflight: Preflight, lang: str) -> bytes:
    broken = [translated(each, lang) for each in preflight.broken]
    rest = orjson.dumps({"broken": broken, "passed": preflight.passed, "summary": preflight.summary})
    return b"]," + rest[1:]


def _finding(found: Finding, lang: str) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "row": found.row,
        "answer": verdict.answer,
        "record_no": verdict.record_no,
        "revision": verdict.revision,
        "in_file": found.in_file,
        "of_row": found.of_row,
        "published": found.published,
        "errors": [translated(each, lang) for each in verdict.errors],
    }


def _csv_begin() -> bytes:
    return b"\xef\xbb\xbf" + _lines([COLUMNS])  # else Excel reads Cyrillic as something else


def _csv_told(found: list[Finding], lang: str, _first: bool) -> bytes:
    return _lines(line for each in found for line in _of(each, lang))


def _csv_end(preflight: Preflight, lang: str) -> bytes:
    return _lines(["", "refused", *[""] * 5, *_words(each, lang)] for each in preflight.broken)


def _of(found: Finding, lang: str) -> Iterator[list[object]]:
    verdict = found.verdict
    number = verdict.record_no or ""
    if number.startswith(_FORMULA):
        number = f"'{number}"  # a spreadsheet would compute it
    known = [found.row, verdict.answer, number, verdict.revision, found.in_file, found.of_row, found.published]
    for each in verdict.errors or (None,):
        yield [*known, *(_words(each, lang) if each else [""] * 4)]


def _words(reason: Reason, lang: str) -> list[str]:
    told = translated(reason, lang)
    return [told.code, told.field, told.rule, told.remedy]


def _lines(rows: Any) -> bytes:
    made = io.StringIO(newline="")
    csv.writer(made).writerows(rows)
    return made.getvalue().encode()


_Form = tuple[Callable[[], bytes], Callable[[list[Finding], str, bool], bytes], Callable[[Preflight, str], bytes]]

FORMS: Mapping[str, _Form] = MappingProxyType(
    {JSON: (_json_begin, _json_told, _json_end), CSV: (_csv_begin, _csv_told, _csv_end)}
)
"""Media type of a report -> its begin, what is told of some rows, its end."""
