"""The verdict log: what the sender of a file is told of each row, and at the same time how far the door has come.

A row is written here when the inbox has it, so that a door that goes on after a crash goes on behind the last one. It
may answer some rows again, under the same delivery ids: they count once.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from connectors.texts import translated
from connectors.verdicts import Verdict

CSV, LINES, SUMMARY = "verdicts.csv", "verdicts.jsonl", "summary.json"

COLUMNS = ("row", "status", "code", "field", "rule", "remedy", "receipt")
"""Of `verdicts.csv`: a line for each accepted row, and for each reason against a refused one. No value of any row."""

WHOLE_FILE = 0
"""The row of a verdict on the file as a whole."""


class VerdictLog:
    """The lines of `verdicts.jsonl`, counted; to be closed."""

    def __init__(self, folder: Path, lang: str) -> None:
        """`lang` is that of rules and remedies. What a crash left of a last line is cut off. Raises OSError."""
        self._lang = lang
        self.last = 0
        """Number of the last row that has its verdict."""
        self.failed = False
        """Whether there is a verdict on the file as a whole: then it is the last one."""
        self.accepted = self.refused = 0
        self.codes: Counter[str] = Counter()
        self._file = (folder / LINES).open("a+b", buffering=0)
        self._size = self._recounted()
        self._file.truncate(self._size)

    def add(self, verdicts: Iterable[tuple[int, Verdict]]) -> None:
        """Write the verdicts of some rows; raises OSError, and then none of them is there."""
        told = [_line(row, verdict, self._lang) for row, verdict in verdicts]
        lines = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in told)
        try:
            written = self._file.write(lines)
            while written < len(lines):  # the disk was full within: the next attempt says so
                written += self._file.write(lines[written:])
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(lines)
        for each in told:
            self._count(each)

    def complete(self, folder: Path, about: dict[str, Any]) -> None:
        """Write `verdicts.csv` and `summary.json`, and see to it that all is on the disk; raises OSError."""
        os.fsync(self._file.fileno())
        with (folder / CSV).open("w", encoding="utf-8-sig", newline="") as file:  # with its mark Excel reads UTF-8
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for told in self._told():
                writer.writerows(_table_rows(told))
            file.flush()
            os.fsync(file.fileno())
        counts = {"accepted": self.accepted, "refused": self.refused, "codes": dict(self.codes.most_common())}
        with (folder / SUMMARY).open("wb") as summary:
            summary.write(orjson.dumps(about | counts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            summary.flush()
            os.fsync(summary.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _recounted(self) -> int:
        """Count what is there; return the end of the last whole line."""
        end = 0
        self._file.seek(0)
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            for line in file:
                try:
                    told = orjson.loads(line)
                except orjson.JSONDecodeError:
                    break
                if not line.endswith(b"\n"):
                    break
                self._count(told)
                end += len(line)
        return end

    def _told(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        with os.fdopen(os.dup(self._file.fileno()), "rb") as file:
            yield from map(orjson.loads, file)

    def _count(self, told: dict[str, Any]) -> None:
        self.failed = told["row"] == WHOLE_FILE
        self.last = max(self.last, told["row"])
        self.accepted += told["answer"] == "accepted"
        self.refused += told["answer"] == "refused" and not self.failed
        self.codes.update({each["code"] for each in told["errors"]})


def _line(row: int, verdict: Verdict, lang: str) -> dict[str, Any]:
    return {
        "row": row,
        "answer": verdict.answer,
        "record_no": verdict.record_no,
        "revision": verdict.revision,
        "receipt": verdict.receipt,
        "delivery": verdict.delivery,
        "errors": [asdict(translated(each, lang)) for each in verdict.errors],
    }


def _table_rows(told: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    if told["answer"] == "accepted":
        yield told["row"], told["answer"], "", "", "", "", told["receipt"]
    for each in told["errors"]:
        yield told["row"], told["answer"], each["code"], each["field"], each["rule"], each["remedy"], ""
