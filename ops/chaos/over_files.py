"""Over files: one agency's file, dropped as agencies are told to, and what came back with it.

Now and then it comes torn before it comes whole, and now and then the very same comes again: its rows are the same
deliveries, with the same verdicts. A file that is refused as a whole is one delivery, each time that it comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson

from connectors.file_door.folders import DONE, FAILED, IN
from connectors.file_door.verdict_log import LINES, WHOLE_FILE
from ops.chaos.ledger import Account, Told
from ops.chaos.over_http import Event, Request

_LOOK_SECS = 0.1
"""Between two looks for what has come back."""

_AGAIN, _TORN = 0.15, 0.04
"""Shares of the files that come again, and of those that come torn first."""


class _Back(NamedTuple):
    """What the agency finds in the folder that comes back."""

    verdicts: dict[int, list[dict[str, Any]]]  # by row; there should be one of each
    digest: bytes  # of them all

    @property
    def whole(self) -> bool:
        """Whether they speak of the file as a whole."""
        return WHOLE_FILE in self.verdicts


class FileDoor:
    """The file door, as agencies see it."""

    def __init__(self, root: Path, chance: Random) -> None:
        """`root` has the agencies' folders in it; `chance` decides what is torn and what comes again."""
        self._root = root
        self._chance = chance
        self._known: dict[tuple[Account, bytes], bytes] = {}  # whose, and a file's digest -> that of its verdicts
        self._contradicted = 0
        self.counts: Counter[str] = Counter()
        """Files dropped, and of them those that were torn, and those that came again."""

    async def deliver(self, request: Request) -> list[Told]:
        """Drop a file of these events until it is answered, and return what is said of each."""
        lines = [event.line for event in request.events]
        told: list[Told] = []
        if self._chance.random() < _TORN:
            torn = Event(b"[" + b",".join(lines), "refused")
            told += self._told(request.account, [torn], torn.line, await self._drop(request.account, torn.line, "json"))
            self.counts["torn"] += 1
        content = b"\n".join(lines)
        for _ in range(1 + (self._chance.random() < _AGAIN)):
            back = await self._drop(request.account, content, "jsonl")
            told += self._told(request.account, request.events, content, back)
        return told

    def astray(self) -> int:
        """Return how many files were given back twice, or answered otherwise when they came again."""
        given_back = sum(1 for place in (DONE, FAILED) for _ in self._root.glob(f"*/{place}/*/*"))
        return max(0, given_back - self.counts["dropped"]) + self._contradicted

    async def _drop(self, account: Account, content: bytes, kind: str) -> _Back:
        """Put a file into the agency's folder, whole at once, and wait until it comes back."""
        agency, family = account
        self.counts["dropped"] += 1
        name = f"{self.counts['dropped']:06d}.{kind}"
        folder = self._root / agency / IN / family
        folder.mkdir(exist_ok=True)  # there is none where the agency is not entitled
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(folder / name)
        while True:
            for place in (DONE, FAILED):
                if (back := self._root / agency / place / family / name).exists():
                    return _read(back)
            await asyncio.sleep(_LOOK_SECS)

    def _told(self, account: Account, events: Sequence[Event], content: bytes, back: _Back) -> list[Told]:
        """Return what is said of each event, or of the file as a whole; nothing of what was said before."""
        if back.whole:
            wanted = "accepted" if any(event.wanted == "accepted" for event in events) else "refused"
            return [_of_row(account, Event(content, wanted), back.verdicts[WHOLE_FILE])]
        name = account, sha256(content).digest()
        if name in self._known:
            self.counts["again"] += 1
            self._contradicted += self._known[name] != back.digest
            return []
        self._known[name] = back.digest
        return [_of_row(account, event, back.verdicts[row]) for row, event in enumerate(events, 1)]


def _read(folder: Path) -> _Back:
    lines = (folder / LINES).read_bytes()
    verdicts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for verdict in map(orjson.loads, lines.splitlines()):
        verdicts[verdict["row"]].append(verdict)
    return _Back(verdicts, sha256(lines).digest())


def _of_row(account: Account, event: Event, verdicts: Sequence[dict[str, Any]]) -> Told:
    """Return what an agency was told that should find one verdict on a row."""
    if len(verdicts) != 1:
        return Told(*account, event.line, event.wanted, f"{len(verdicts)} verdicts" if verdicts else "none", None)
    return Told(*account, event.line, event.wanted, verdicts[0]["answer"], verdicts[0]["record_no"])
