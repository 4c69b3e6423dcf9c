"""Publish: what `migex publish` does: events from files to a door, with a progress bar and a tally of the verdicts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import httpx
import orjson
import stamina
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops import secrets
from ops.access import access
from ops.publish_files import Desk, chunks, publish_file
from ops.publish_http import Target, publish_http
from ops.publish_kafka import Road, publish_kafka
from ops.settings import Settings
from ops.tally import Tally
from ops.wire_ids import wire_ids
from schemas.contracts import FAMILIES
from schemas.conventions import Convention, load
from schemas.errors import Misconfigured
from streams.topics import Topics

__all__ = ["Tally", "main", "publish", "publish_http", "publish_kafka"]

Door = Literal["http", "kafka", "file"]


def main(files: Sequence[Path], family: str, agency: str, via: Door, settings: Settings) -> int:
    """Publish the events of the files, show how it goes, print the tally; returns 1 if anything was refused."""
    if via == "file":
        return _dropped(files, family, agency, settings)
    stamina.instrumentation.set_on_retry_hooks([])  # log lines would tear the progress bar; what fails for good is told
    total = sum(1 for _ in events(files))
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{agency} {family}", total=total)
        tally = asyncio.run(
            publish(events(files), family, agency, via, settings, advance=lambda n: progress.advance(task, n))
        )
    for line in tally.lines():
        console.print(line, highlight=False, soft_wrap=True)
    return 1 if tally.refused or tally.unsendable else 0


async def publish(
    lines: Iterable[bytes],
    family: str,
    agency: str,
    via: Door,
    settings: Settings,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Send every line as one event in the agency's name through a door of this system; returns what was answered.

    Raises Misconfigured for an unknown agency or family, Unavailable when the door does not answer.
    """
    convention = load(settings.convention)
    _check(convention, family, agency)
    desk = Desk(settings.files_directory / agency, family, settings.files.settle_secs)
    if via == "http":
        target = Target(settings.gateway_url, family, secrets.api_key(settings.secrets, agency))
        http = httpx.AsyncClient(timeout=60, verify=_trusting(settings))
        return await publish_http(lines, target, client=http, advance=advance)
    if via == "file":
        return await publish_file((b"%b\n" % line.rstrip() for line in lines), "events.jsonl", desk, advance=advance)
    topics = Topics.of(settings.generation, convention)
    ids = {contract.schema_id: number for number, contract in (await wire_ids(settings, convention)).items()}
    road = Road(
        kafka=access(settings, agency=agency),
        topic=topics.name(f"agency:{agency}:{family}"),
        verdicts=topics.name(f"verdicts:{agency}"),
        family=replace(FAMILIES[family], schema_id=ids[FAMILIES[family].schema_id]),
    )
    return await publish_kafka(lines, road, advance=advance)


def _dropped(files: Sequence[Path], family: str, agency: str, settings: Settings) -> int:
    """Drop the files as they are, whatever they hold; print the tally and where the verdicts lie."""
    _check(load(settings.convention), family, agency)
    desk = Desk(settings.files_directory / agency, family, settings.files.settle_secs)
    tally, console = Tally(), Console()
    for path in files:
        with console.status(f"{agency} {family} {path.name}"):
            tally += asyncio.run(publish_file(chunks(path), path.name, desk))
    for line in tally.lines():
        console.print(line, highlight=False, soft_wrap=True)
    return 1 if tally.refused else 0


def _trusting(settings: Settings) -> ssl.SSLContext | bool:
    """Return what makes sure that it is our gateway: its certificate is the very one that the settings name."""
    if not settings.gateway.certificate:
        return True
    context = ssl.create_default_context(cafile=settings.gateway.certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it may bear the name by which agencies know it
    return context


def events(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the events of the files: one a line, or the elements of one JSON array, or the object of a `.json` file.

    Lines are given as they are, whatever they hold. Raises Misconfigured for a file that is not there, or that begins
    an array and is no JSON.
    """
    for path in files:
        try:
            with path.open("rb") as file:
                begin = file.read(64).lstrip()[:1]
                file.seek(0)
                if begin == b"[" or path.suffix == ".json":
                    yield from _whole(path, file.read())
                else:
                    yield from (line for line in file if line.strip())
        except OSError as error:
            raise Misconfigured("no-file", f"{path} cannot be read: {error.strerror}.") from error


def _whole(path: Path, text: bytes) -> Iterator[bytes]:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Misconfigured("bad-file", f"{path} is no JSON: one array, or one event, or name it .jsonl.") from None
    yield from map(orjson.dumps, parsed if isinstance(parsed, list) else [parsed])


def _check(convention: Convention, family: str, agency: str) -> None:
    if agency not in convention.agencies:
        known = ", ".join(convention.agencies)
        raise Misconfigured("unknown-agency", f"{convention.id} has no agency {agency!r}: choose one of {known}.")
    entitled = convention.agencies[agency].families
    if family not in entitled:
        raise Misconfigured("not-entitled", f"{agency} may not report {family!r}: choose one of {', '.join(entitled)}.")
