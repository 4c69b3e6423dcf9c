"""Preflight of a file: what `migex preflight` does. Nothing is published; without the running system it works too."""

from __future__ import annotations

import asyncio
import secrets as chance
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from connectors.admission import Admission
from connectors.avro_file import Bounds
from connectors.batch import JSON
from connectors.fates import Sources
from connectors.preflight import Asker, Preflight
from connectors.preflight_report import report
from connectors.rows import BY_FIELD, CSV, kind_of, load, rows
from connectors.strict_json import MAX_EVENT_BYTES
from ops import secrets
from ops.access import access
from ops.asking import asked
from ops.settings import Settings
from schemas import conventions
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.errors import Misconfigured, Unavailable
from schemas.keys import Secrets

MOST = Bounds(body_bytes=1 << 30, event_bytes=MAX_EVENT_BYTES, events=10_000_000)
"""What a file may bring here; memory grows by some 200 bytes a row, to find what stands twice."""


class Wishes(NamedTuple):
    """What is asked for."""

    file: Path
    family: str
    agency: str
    mapping: Path | None = None
    csv: bool = False  # the report's form, else JSON
    lang: str = "en"
    offline: bool = False  # ask nobody what is published


def main(wishes: Wishes, settings: Settings, out: BinaryIO) -> int:
    """Write the report, and its summary to standard error; return 1 unless every row would be accepted.

    Raises Misconfigured for a file that is not there, an unknown agency or family, or a wrong mapping.
    """
    kind_of(wishes.file.name)
    convention = conventions.load(settings.convention)
    if wishes.agency not in convention.agencies:
        known = ", ".join(convention.agencies)
        raise Misconfigured("unknown-agency", f"{convention.id} has no agency of this code: choose one of {known}.")
    preflight = asyncio.run(_check(wishes, settings, convention, out))
    told = orjson.dumps(preflight.summary, option=orjson.OPT_INDENT_2).decode()
    sys.stderr.write(f"{told}\n")
    for each in preflight.broken:
        sys.stderr.write(f"the file was not read to its end: {each.code}: {each.rule} {each.remedy}\n")
    return 0 if preflight.passed else 1


async def _check(wishes: Wishes, settings: Settings, convention: Convention, out: BinaryIO) -> Preflight:
    keys = _secrets(settings)
    admission = Admission(convention, CodeLists.load(*convention.codelist_directories), keys or _own())
    admission.entitled(wishes.agency, wishes.family)
    mapping = BY_FIELD if wishes.mapping is None else load(wishes.mapping)
    async with AsyncExitStack() as stack:
        sources = None if wishes.offline or keys is None else await _sources(stack, settings, convention)
        preflight = Preflight(admission, Asker(wishes.agency, wishes.family, int(time.time() * 1000)), sources)
        try:
            file = stack.enter_context(wishes.file.open("rb"))
        except OSError as error:
            raise Misconfigured("no-file", f"{wishes.file} cannot be read: {error.strerror}.") from error
        found = rows(file, kind_of(wishes.file.name), FAMILIES[wishes.family], MOST, mapping)
        form = CSV if wishes.csv else JSON
        async for piece in report(preflight, preflight.findings(found), form, wishes.lang):
            out.write(piece)
        out.flush()
    return preflight


async def _sources(stack: AsyncExitStack, settings: Settings, convention: Convention) -> Sources | None:
    """Return whom to ask what is published; None: the system does not run."""
    try:
        return await stack.enter_async_context(asked(settings, convention, access(settings)))
    except (Unavailable, Misconfigured):
        return None


def _secrets(settings: Settings) -> Secrets | None:
    """Return the doors' keys, by which records are found again; None: there are none here."""
    try:
        return secrets.load(settings.secrets)
    except Misconfigured:
        return None


def _own() -> Secrets:
    """Return keys for this run alone: within the file they find what stands twice as well as any."""
    return Secrets(link_key=chance.token_bytes(32), digest_key=chance.token_bytes(32))
