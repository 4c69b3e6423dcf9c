"""Publishing by file: a file is dropped as an agency drops it, and its verdicts are waited for."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from connectors.file_door.folders import DONE, FAILED, IN
from connectors.file_door.verdict_log import LINES
from ops.tally import Tally
from schemas.errors import Misconfigured, Unavailable

PATIENCE_SECS = 30.0
"""How long a file may wait, beyond the time in which it must stand still, until a door has taken it."""

_CHUNK = 1 << 20


class Desk(NamedTuple):
    """Where an agency drops the files of one family."""

    folder: Path  # the agency's
    family: str
    settle_secs: float


async def publish_file(
    content: Iterable[bytes], name: str, desk: Desk, *, advance: Callable[[int], None] = lambda _: None
) -> Tally:
    """Drop a file of this content and return what was answered, row by row; `name` says by its end what it holds.

    Raises Misconfigured when the folder is not there, Unavailable when no door takes the file.
    """
    name = f"{secrets.token_hex(4)}-{name}"
    dropped = desk.folder / IN / desk.family / name
    part = dropped.with_name(f"{name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(content)
        part.rename(dropped)
    except OSError as error:
        detail = f"{dropped.parent} cannot be written to: {error.strerror}. `migex file-door` makes it."
        raise Misconfigured("no-folders", detail) from None
    back = [desk.folder / place / desk.family / name for place in (DONE, FAILED)]
    end = time.monotonic() + desk.settle_secs + PATIENCE_SECS
    while not (there := [each for each in back if each.exists()]):
        if time.monotonic() > end and dropped.exists():
            dropped.unlink(missing_ok=True)
            raise Unavailable("door-away", "No file door has taken the file: `migex status` shows whether one runs.")
        await asyncio.sleep(0.1)
    tally = Tally()
    for verdict in verdicts(there[0]):
        tally.told(verdict)
        advance(1)
    return tally


def verdicts(back: Path) -> Iterator[dict[str, Any]]:
    """Yield what a file's sender was told of each row, as the other doors tell it."""
    with (back / LINES).open("rb") as file:
        yield from map(orjson.loads, file)


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file; raises Misconfigured when it cannot be read."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise Misconfigured("no-file", f"{path} cannot be read: {error.strerror}.") from error
