"""The file door: takes what agencies drop, answers every row, and gives file and verdicts back.

Of each batch of rows: first the inbox, then the verdicts, which are the progress too; so what is answered again after
a crash has the same delivery ids and receipts. A file is read to its end before its first row is published, so that
nothing is taken in of one that turns out to be torn.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from connectors.admission import Admission
from connectors.file_door.claim import Claim, adopt, take
from connectors.file_door.folders import DONE, FAILED, dropped, prepare
from connectors.file_door.reading import mapping_of, rows_of
from connectors.file_door.settling import Settling
from connectors.file_door.verdict_log import WHOLE_FILE, VerdictLog
from connectors.inbox import Inbox, keep
from connectors.reasons import WHOLE, reason
from connectors.rows import Row, TableMapping, portion
from connectors.texts import ENGLISH
from connectors.verdicts import Answer, Arrival, answer, delivery_id, observe
from schemas.errors import Refused
from schemas.header import Door
from streams.crash_points import CrashPoint, Reach, never
from streams.telemetry import DoorTelemetry, FileTelemetry

ROWS = 500
"""Rows that are kept, and whose verdicts are written, at once."""

TURN = 50
"""Rows that are admitted before the other agencies' files and the metrics page get their turn."""

RETRY_SECS = 5.0
"""Seconds until the next attempt where a folder cannot be used or a disk is full."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How files are taken."""

    root: Path
    families: Mapping[str, Sequence[str]]  # agency -> what it may report
    settle_secs: float = 5.0  # how long a file must not change before it is taken
    look_secs: float = 1.0  # between two looks at the folders
    max_bytes: int = 1024 * 1024 * 1024  # of one file
    lang: str = ENGLISH  # of rules and remedies


@dataclass(frozen=True, slots=True)
class Edges:
    """What the door needs from outside."""

    admission: Admission
    inbox: Inbox
    telemetry: DoorTelemetry
    files: FileTelemetry
    now: Callable[[], float] = time.time  # seconds since 1970
    chance: Callable[[int], bytes] = os.urandom
    monotonic: Callable[[], float] = time.monotonic
    reach: Reach = never


@dataclass(slots=True)
class Progress:
    """How far an agency's files have come."""

    waiting: int = 0  # files in its folders
    family: str = ""  # of the file that is being answered; empty: none is
    rows: int = 0  # of that file
    answered: int = 0  # of these
    refused: int = 0  # of these


class _Read(NamedTuple):
    """What the first reading of a file told."""

    digest: bytes
    rows: int


class FileDoor:
    """Answers every file in the agencies' folders, one at a time of each agency."""

    def __init__(self, edges: Edges, terms: Terms) -> None:
        self._edges = edges
        self._terms = terms
        self._settling = {agency: Settling(terms.settle_secs, edges.monotonic) for agency in terms.families}
        self.progress = {agency: Progress() for agency in terms.families}

    def prepare(self) -> None:
        """Make the folders that are missing; raises OSError."""
        prepare(self._terms.root, self._terms.families)

    async def run(self, stopped: asyncio.Event) -> None:
        """Answer until `stopped`; raises Unavailable when the process must start anew."""
        try:
            async with asyncio.TaskGroup() as group:
                for agency in self._terms.families:
                    group.create_task(self._attend(agency, stopped))
        except BaseExceptionGroup as several:  # the others were ended by the first one
            raise several.exceptions[0] from None

    async def turn(self, agency: str, stopped: asyncio.Event) -> int:
        """Answer what an agency has dropped, what was left unfinished first; return how many files are done with.

        Raises OSError where the folders cannot be used or the disk is full; nothing is lost then.
        """
        done = 0
        for claim in adopt(self._terms.root, agency):
            done += await self._answer(claim, stopped)
        waiting = list(dropped(self._terms.root, agency))
        for file in self._settling[agency].settled(waiting):
            self._note_waiting(agency, len(waiting))
            if stopped.is_set():
                break
            taken = take(self._terms.root, file, self._number(), self._edges.reach)
            waiting.remove(file)
            if taken is not None:
                done += await self._answer(taken, stopped)
        self._note_waiting(agency, len(waiting))
        return done

    def _note_waiting(self, agency: str, files: int) -> None:
        self.progress[agency].waiting = files
        self._edges.files.waiting(agency, files)

    async def _attend(self, agency: str, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            wait = self._terms.look_secs
            try:
                await self.turn(agency, stopped)
            except OSError as error:  # its own words name a file, and a file's name may tell of a person
                _log.error("Files must wait.", agency=agency, error=error.strerror, seconds=RETRY_SECS)
                wait = RETRY_SECS
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), wait)

    def _number(self) -> str:
        moment = datetime.fromtimestamp(self._edges.now(), UTC)
        return f"{moment:%Y%m%dT%H%M%SZ}-{self._edges.chance(6).hex()}"

    async def _answer(self, claim: Claim, stopped: asyncio.Event) -> bool:
        """Answer the rows that have no verdict yet and give all back; return False when it was stopped before."""
        progress = self.progress[claim.agency]
        with closing(claim), closing(VerdictLog(claim.folder, self._terms.lang)) as log:
            _log.info("A file is taken.", agency=claim.agency, number=claim.number, answered=log.last)
            try:
                if not log.failed and not await self._answer_rows(claim, log, progress, stopped):
                    return False
            finally:
                progress.family, progress.rows, progress.answered, progress.refused = "", 0, 0, 0
            log.complete(claim.folder, {"file": claim.name, "family": claim.family, "complete": not log.failed})
            claim.finish(FAILED if log.failed else DONE, self._edges.reach)
            self._edges.files.given_back(claim.agency, "failed" if log.failed else "complete")
            told = {"accepted": log.accepted, "refused": log.refused, "failed": log.failed}
            _log.info("A file is done with.", agency=claim.agency, number=claim.number, **told)
        return True

    async def _answer_rows(self, claim: Claim, log: VerdictLog, progress: Progress, stopped: asyncio.Event) -> bool:
        """Answer what is left of the rows; what makes the file as a whole fail is its last verdict."""
        digest = claim.number.encode()
        try:
            self._edges.admission.entitled(claim.agency, claim.family)
            mapping = mapping_of(self._terms.root, claim.agency, claim.family)
            digest, rows = await asyncio.to_thread(self._read, claim, mapping)
            progress.family, progress.rows, progress.answered = claim.family, rows, log.accepted + log.refused
            left = (row for row in self._rows(claim, mapping) if row.number > log.last)
            while batch := list(portion(left, ROWS)):
                if stopped.is_set():
                    return False
                await self._keep(claim, log, await self._admit(claim, digest, batch))
                progress.answered, progress.refused = log.accepted + log.refused, log.refused
        except Refused as refusal:
            whole = self._one(claim, digest, Row(WHOLE_FILE, b"", refusal))
            await self._keep(claim, log, [(WHOLE_FILE, whole)])
        return True

    def _rows(self, claim: Claim, mapping: TableMapping) -> Iterator[Row]:
        return rows_of(claim.file(), claim.name, claim.family, mapping, self._terms.max_bytes)

    def _read(self, claim: Claim, mapping: TableMapping) -> _Read:
        """Read a file to its end; raises Refused when it is none."""
        digest = hashlib.file_digest(claim.file(), "sha256").digest()
        try:
            return _Read(digest, sum(1 for _ in self._rows(claim, mapping)))
        except (Refused, OSError):
            raise
        except Exception as defect:  # ours: the file is put aside, or every door after us would fail on it, too
            _log.error("A file met a defect of the door", number=claim.number, error=type(defect).__name__)
            raise Refused((reason("door-defect", WHOLE, "The door failed on this event by its own fault."),)) from None

    async def _admit(self, claim: Claim, digest: bytes, rows: Sequence[Row]) -> list[tuple[int, Answer]]:
        """Return the answers; raises Refused when what was read is no longer the file whose digest we know."""
        answers = []
        for count, row in enumerate(rows, start=1):
            answers.append((row.number, self._one(claim, digest, row)))
            if count % TURN == 0:
                await asyncio.sleep(0)
        if not claim.is_unchanged:
            rule = "A file is complete when it is dropped, and nobody writes to it any more."
            raise Refused((reason("file-changed", WHOLE, rule),))
        return answers

    def _one(self, claim: Claim, digest: bytes, row: Row) -> Answer:
        """Answer a row under a delivery id that is the same whenever the same file is read."""
        name = delivery_id(b"file", claim.agency.encode(), claim.family.encode(), digest, b"%d" % row.number)
        arrival = Arrival(claim.agency, claim.family, name, int(self._edges.now() * 1000), door=Door.FILE)
        return answer(self._edges.admission, arrival, row.event)

    async def _keep(self, claim: Claim, log: VerdictLog, answers: Sequence[tuple[int, Answer]]) -> None:
        """Put the entries into the inbox until they are there, then write the verdicts."""
        await keep(self._edges.inbox, [each.entry for _, each in answers], self._edges.telemetry)
        self._edges.reach(CrashPoint.FILE_BEFORE_VERDICTS)
        log.add((number, each.verdict) for number, each in answers)
        self._edges.reach(CrashPoint.FILE_AFTER_VERDICTS)
        observe(self._edges.telemetry, claim.agency, [each for _, each in answers])


def state(door: FileDoor) -> dict[str, Any]:
    """Return the progress of every agency that has files, as `migex status` shows it."""
    return {agency: asdict(each) for agency, each in door.progress.items() if each.waiting or each.family}
