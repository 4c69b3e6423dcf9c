"""Questions of the gateway that take nothing in: the check of a file, and what became of records and receipts."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from io import StringIO
from random import Random
from typing import Any

import orjson
from backports import zstd

from connectors.avro_file import AVRO
from connectors.batch import JSON
from connectors.quotas import Quota, Quotas
from connectors.rows import CSV
from schemas.contracts import FAMILIES
from tests.connectors.doors import KEYS, Door
from tests.fuzz import avro_bytes, checks, mutants, odd
from tests.fuzz.asgi import Reply, ask
from tests.fuzz.mutants import SENDER
from tests.fuzz.tables import MAKERS

BEHIND = 503
"""Told of a record that is not known while messages wait to be folded."""

SENT = 40
"""Events that the gateway has taken before it is asked about them."""

_PACKERS: Sequence[tuple[bytes, Callable[[bytes], bytes]]] = (
    *[(b"identity", bytes)] * 4,
    (b"gzip", gzip.compress),
    (b"zstd", zstd.compress),
    (b"gzip", bytes),
)
_NUMBERS = (
    "",
    "/",
    ".",
    "..",
    "%",
    "a/b",
    "?",
    "#",
    "A" * 64,
    "A" * 65,
    "\x00",
    "\ud800",
    "\u202e",
    "\u0410-17",
    "A-17 ",
)


def array(chance: Random, family: str) -> bytes:
    """Return what might be an array of events."""
    made = (
        b"[" + b",".join(odd.written(chance, mutants.mutant(chance, family)) for _ in range(chance.randrange(4))) + b"]"
    )
    return mutants.torn(chance, made) if chance.random() < 0.3 else made


class Questions:
    """A gateway that has taken some events, and is asked about them and about others."""

    def __init__(self) -> None:
        """Nothing was taken yet."""
        self._door = Door(quotas=Quotas(Quota(events_per_sec=10**9, burst=10**9)))
        self._taken: dict[str, list[tuple[str, str]]] = {}  # agency: number and receipt

    async def preflight(self, chance: Random) -> int:
        """Have a file checked; nothing of it is taken in."""
        family = chance.choice(list(FAMILIES))
        kind, make = chance.choice([*MAKERS.items(), (JSON, array), (AVRO, avro_bytes.file)])
        content = make(chance, family)
        encoding, pack = chance.choice(_PACKERS)
        headers = [(b"content-type", kind.encode()), (b"content-encoding", encoding)]
        headers += [(b"accept", chance.choice((b"text/csv", b"application/json", b"*/*", b"text/csv;q=nan, */*;q=-1")))]
        before = len(self._door.inbox.entries)
        reply = await self._ask("POST", f"/v1/preflight/{family}", SENDER[family], headers, pack(content))
        assert len(self._door.inbox.entries) == before
        if reply.status != 200:
            checks.unmarked(reply.body)
            return 1
        told = _of_csv if dict(reply.headers)[b"content-type"].startswith(CSV.encode()) else _of_json
        return max(told(reply), 1)

    async def records(self, chance: Random) -> int:
        """Ask for one record by its address, or for several."""
        await self._take()
        agency, number, family = self._one(chance, 0)
        if chance.random() < 0.4:
            query = f"?family={family}" if chance.random() < 0.5 else ""
            return await self._single(agency, f"/v1/records/{number}{query}")
        asked = [{"record_no": number, "family": family}, *self._others(chance, "record_no")]
        return await self._several(chance, agency, "records", asked)

    async def receipts(self, chance: Random) -> int:
        """Ask for one receipt by its address, or for several."""
        await self._take()
        agency, receipt, _ = self._one(chance, 1)
        if chance.random() < 0.4:
            return await self._single(agency, f"/v1/receipts/{receipt}")
        asked = [receipt, *[each["receipt"] for each in self._others(chance, "receipt")]]
        return await self._several(chance, agency, "receipts", asked)

    async def _single(self, agency: str, path: str) -> int:
        reply = await self._ask("GET", path, agency, [], b"")
        assert odd.PERSONAL.encode() not in reply.body
        return 1

    async def _several(self, chance: Random, agency: str, name: str, asked: list[Any]) -> int:
        said: Any = {name: asked}
        if chance.random() < 0.2:
            _, owner, place = chance.choice(list(mutants.places(said)))
            owner[place] = odd.value(chance)
        body = odd.written(chance, said)
        if chance.random() < 0.2:
            body = mutants.torn(chance, body)
        encoding, pack = chance.choice(_PACKERS)
        reply = await self._ask("POST", f"/v1/{name}", agency, [(b"content-encoding", encoding)], pack(body))
        assert odd.PERSONAL.encode() not in reply.body
        if reply.status == 200:
            assert len(orjson.loads(reply.body)["answers"]) == len(orjson.loads(body)[name])
        return 1

    async def _ask(
        self, method: str, path: str, agency: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        sent = [(b"x-api-key", KEYS[agency].encode()), *headers]
        reply = await ask(self._door.app, method, path, sent, [body])
        assert reply.status < 500 or reply.status == BEHIND, reply.body
        return reply

    async def _take(self) -> None:
        """Let the gateway take events, if it has not yet, and the folds some of them."""
        if self._taken:
            return
        chance = Random("taken")
        for number in range(SENT):
            family = chance.choice(list(FAMILIES))
            event = mutants.sound(chance, family)
            reply = await self._ask("POST", f"/v1/events/{family}", SENDER[family], [_JSON], orjson.dumps(event))
            told = orjson.loads(reply.body)
            if told["answer"] == "accepted":
                self._taken.setdefault(SENDER[family], []).append((told["record_no"], told["receipt"]))
            if number == SENT // 2:
                self._door.folded.cut()
        assert self._taken

    def _one(self, chance: Random, which: int) -> tuple[str, str, str | None]:
        """Return an agency, a number (0) or receipt (1), mostly one of its own, and a family or none."""
        agency = chance.choice(list(self._taken))
        whose = agency if chance.random() < 0.7 else chance.choice(list(self._taken))
        known = chance.choice(self._taken[whose])[which]
        text = chance.choice((known, known, known[:-1], known + "=", chance.choice(_NUMBERS), odd.text(chance)))
        return agency, text, chance.choice((None, *FAMILIES, odd.text(chance)))

    def _others(self, chance: Random, name: str) -> list[dict[str, Any]]:
        which = int(name == "receipt")
        return [{name: self._one(chance, which)[1]} for _ in range(chance.choice((0, 0, 1, 5, 99, 100)))]


_JSON = (b"content-type", b"application/json")


def _of_json(reply: Reply) -> int:
    """Return how many findings there are, held against their summary."""
    told = orjson.loads(reply.body)
    rows, summary = told["rows"], told["summary"]
    assert [each["row"] for each in rows] == sorted({each["row"] for each in rows})
    counted = Counter(each["answer"] for each in rows)
    assert (summary["rows"], summary["accepted"], summary["refused"]) == (
        len(rows),
        counted["accepted"],
        counted["refused"],
    )
    assert told["passed"] == (not told["broken"] and not counted["refused"])
    for each in rows:
        assert bool(each["errors"]) == (each["answer"] == "refused")
        assert all(error["code"] != "door-defect" for error in each["errors"])
    checks.unmarked(reply.body, rows)
    return len(rows)


def _of_csv(reply: Reply) -> int:
    """Return how many lines a report in CSV has; the sender's own numbers alone are told back."""
    rows = list(csv.DictReader(StringIO(reply.body.decode("utf-8-sig"), newline="")))
    for each in rows:
        assert bool(each["code"]) == (each["answer"] == "refused")
        assert each["code"] != "door-defect"
    said = [text for each in rows for name, text in each.items() if name != "record_no"]
    checks.unmarked("\n".join(said).encode())
    return len(rows)
