"""Checks: what must hold of every answer of a door, whatever was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import fastavro
import orjson

from connectors.entry import Entry
from connectors.inbox import MemoryInbox, frame
from schemas import core as cores
from schemas import frame as wire
from schemas.contracts import contract
from schemas.header import Kind
from tests.fuzz.asgi import Reply
from tests.fuzz.odd import JUNK, PERSONAL

MARKS = (JUNK.encode(), PERSONAL.encode(), JUNK.lower().encode(), PERSONAL.lower().encode())


class CountingInbox(MemoryInbox):
    """An inbox in memory that makes frames of everything, as the one before Kafka does, and reads them again."""

    async def put(self, entries: Sequence[Entry]) -> None:
        """Keep the entries; raises AssertionError for one that nobody behind the doors could read."""
        await super().put(entries)
        if entries:
            wire.decode(frame(entries))
        for each in entries:
            _readable(each)


def _readable(entry: Entry) -> None:
    if entry.header.kind is not Kind.EVENT:
        assert not entry.body
        return
    cores.decode(entry.core)
    body = BytesIO(entry.body)
    fastavro.schemaless_reader(body, contract(entry.header.schema_id).stored_schema, None)
    assert body.tell() == len(entry.body)


def answered(reply: Reply, entries: Sequence[Entry], sent: int | None) -> None:
    """Hold one answer of the gateway against what it kept; `sent` events are known to have been sent, or None."""
    assert reply.status < 500, reply.body
    told = orjson.loads(reply.body)
    if reply.status == 200:
        verdicts, summary = told["verdicts"], told["summary"]
        assert sent is None or len(verdicts) == sent
        accepted = [each for each in verdicts if each["answer"] == "accepted"]
        assert (summary["accepted"], summary["refused"]) == (len(accepted), len(verdicts) - len(accepted))
    else:
        verdicts = [told] if "answer" in told else []
        assert (reply.status == 202) == any(each["answer"] == "accepted" for each in verdicts)
    balanced(verdicts, entries)
    unmarked(reply.body, verdicts)


def balanced(verdicts: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> None:
    """Hold verdicts against entries: one for each, of the same name and answer, and no fault of ours."""
    assert [each["delivery"] for each in verdicts] == [each.header.delivery.hex() for each in entries]
    kinds = {"accepted": Kind.EVENT, "refused": Kind.REFUSED}
    assert [kinds[each["answer"]] for each in verdicts] == [each.header.kind for each in entries]
    for each in verdicts:
        assert bool(each["errors"]) == (each["answer"] == "refused")
        assert all(error["code"] != "door-defect" for error in each["errors"])


def unmarked(said: bytes, verdicts: Sequence[Mapping[str, Any]] = ()) -> None:
    """Hold what was said to naming nobody; the sender's own numbers of records are told back to him."""
    if any(mark in said for mark in MARKS):
        for own in {each["record_no"] for each in verdicts if each["record_no"]}:
            said = said.replace(orjson.dumps(own), b"")
        assert not any(mark in said for mark in MARKS), said
