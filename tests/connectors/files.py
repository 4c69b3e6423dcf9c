"""A file door over folders in a temporary directory, for its tests."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from connectors.file_door.door import Edges, FileDoor, Terms
from connectors.inbox import Inbox, MemoryInbox
from streams.crash_points import Reach, never
from streams.telemetry import DoorTelemetry, FileTelemetry
from tests.connectors.events import NOW, admission, line

ADMISSION = admission()
FAMILIES = {"gpk": ("border.crossing",), "mvd": ("permit.decision",)}


class Files:
    """The folders of two agencies, and a door that is told when to look; files settle at once unless said otherwise."""

    def __init__(self, root: Path, inbox: Inbox | None = None, reach: Reach = never, **terms: Any) -> None:
        self.root = root
        self.inbox = inbox or MemoryInbox()
        self.clock = 0.0
        self._terms = Terms(root, FAMILIES, **({"settle_secs": 0.0} | terms))
        self._reach = reach
        self.door = self.another()
        self.door.prepare()

    def another(self) -> FileDoor:
        """Return one more door over the same folders."""
        metrics = CollectorRegistry()
        telemetry = DoorTelemetry(metrics, "file", FAMILIES)
        told = FileTelemetry(metrics, FAMILIES)
        now, monotonic = (lambda: NOW / 1000), (lambda: self.clock)
        edges = Edges(ADMISSION, self.inbox, telemetry, told, now, monotonic=monotonic, reach=self._reach)
        return FileDoor(edges, self._terms)

    def drop(self, name: str, content: bytes, family: str = "border.crossing", agency: str = "gpk") -> Path:
        path = self.root / agency / "in" / family / name
        path.write_bytes(content)
        return path

    def look(self, agency: str = "gpk", door: FileDoor | None = None) -> int:
        """Let the door look once; return how many files are done with."""
        return asyncio.run((door or self.door).turn(agency, asyncio.Event()))

    def done(self, name: str, place: str = "done", family: str = "border.crossing", agency: str = "gpk") -> Done:
        return Done(self.root / agency / place / family / name)

    def left(self, agency: str = "gpk") -> list[str]:
        """Return what lies in an agency's `in` and `work`, folders of families aside."""
        places = [self.root / agency / "in", self.root / agency / "work"]
        return sorted(path.name for place in places for path in place.glob("*/*"))


class Done:
    """What the agency gets back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def summary(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return told

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in (self.folder / "verdicts.jsonl").read_text().splitlines()]

    @property
    def table(self) -> list[dict[str, str]]:
        with (self.folder / "verdicts.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))


def crossings(count: int, wrong: Sequence[int] = (), name: str = "A") -> bytes:
    """Return so many rows; those whose numbers are in `wrong` name a checkpoint that there is not."""
    rows = [
        line(header__record_no=f"{name}-{n}", **({"event__checkpoint": "NOWHERE"} if n in wrong else {}))
        for n in range(1, count + 1)
    ]
    return b"".join(row + b"\n" for row in rows)
