"""What the commands about keys do and print: list, rotate, rotate-kek, destroy, check."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from connectors.body_keys import BodyKeys, Listed, month_name, month_number
from connectors.sealing import Opener, Shut
from ops import rebuild, secrets
from ops.generations import building
from ops.generations.site import Site
from ops.settings import Settings
from schemas import frame as wire
from schemas.conventions import load
from schemas.errors import Broken, Misconfigured
from schemas.header import Header, Kind, unpack
from streams.fold import Message

READABLE = "readable"
"""Beside the reasons of `Shut`: what becomes of a body that is opened."""


def show(at: Site, console: Console) -> None:
    """Print at which level link keys are made, at which the generations link, and every key of bodies."""
    console.print(f"doors make link keys at level {secrets.level(at.settings.secrets)}")
    for each in at.generations.all():
        console.print(f"generation {each.number} ({each.state}) links at level {each.manifest.link_level}")
    codes = {agency.id: code for code, agency in load(at.settings.convention).agencies.items()}
    table = Table("agency", "month", "key of bodies", box=None, pad_edge=False)
    for key in BodyKeys(at.settings.secrets).all():
        table.add_row(codes.get(key.agency, str(key.agency)), key.month, _state(key))
    console.print(table)


def rotate(at: Site, console: Console) -> int:
    """Make the next link key and a generation that links by it, as far as the current one; exit status.

    What was cut short is gone on with.
    """
    directory, current = at.settings.secrets, at.generation(at.current())
    level = current.manifest.link_level
    secrets.raise_level(directory, level)  # where an earlier switch was cut short
    number = _under_way(at, level + 1)
    if number is None:
        if (made := secrets.make_link_key(directory, level + 1)) is not None:
            console.print(f"made {made}: back it up; every host that runs reconcile needs it too", soft_wrap=True)
        number = building.begin_as(at, building.following(at, level + 1))
    building.build(at, number, console, until=at.generations.standing(current.number).newest)
    console.print(
        f"generation {number} links at level {level + 1}: `migex generation compare {current.number} {number}`, then "
        f"`migex generation switch {number}`; from then on the doors make link keys at level {level + 1}",
        soft_wrap=True,
    )
    return 0


def _under_way(at: Site, level: int) -> int | None:
    """Return the generation of a rotation that was begun and can go on."""
    found = [each for each in at.generations.all() if each.manifest.link_level == level]
    return next((each.number for each in found if each.state in building.UNFINISHED), None)


def rotate_kek(settings: Settings, console: Console) -> int:
    """Wrap all keys of bodies by a new key-encryption key; exit status."""
    number, wrapped = BodyKeys(settings.secrets).rotate()
    console.print(
        f"key-encryption key {number} wraps {wrapped} keys; the old one is removed: back up the new one, and remove "
        "the old one from backups",
        soft_wrap=True,
    )
    return 0


def destroy(settings: Settings, agency: str, month: str, console: Console) -> int:
    """Destroy an agency's key of a month; exit status. Raises Misconfigured for an unknown agency, Refused else."""
    known = load(settings.convention).agencies
    if agency not in known:
        detail = f"The convention knows no agency {agency!r}: choose one of {', '.join(known)}."
        raise Misconfigured("unknown-agency", detail)
    BodyKeys(settings.secrets).destroy(known[agency].id, month_number(month), int(time.time() * 1000))
    console.print(
        f"nobody can read the bodies of {agency} of {month} any more; figures stay. Copies of the wrapped key in "
        "backups are dead after `migex keys rotate-kek`, when the old key-encryption key is gone from them",
        soft_wrap=True,
    )
    return 0


def check(settings: Settings, archive: Path, *, offline: bool, console: Console) -> int:
    """Try to open every body in the inbox and print what came of it; exit status 1 when one cannot be read by mishap.

    What was destroyed on purpose is no mishap. Raises Broken when a message is neither in the archive nor in the topic.
    """
    sources = rebuild.job(rebuild.Wishes(archive, offline), settings, Path()).inbox
    found = outcomes((message for read in sources for message in read()), Opener(BodyKeys(settings.secrets).find))
    codes = {agency.id: code for code, agency in load(settings.convention).agencies.items()}
    table = Table("agency", "month", "bodies", "how many", box=None, pad_edge=False)
    for (agency, month, outcome), count in sorted(found.items()):
        table.add_row(codes.get(agency, str(agency)), month, outcome, f"{count:,}")
    console.print(table)
    return int(any(outcome in (Shut.DAMAGED, Shut.KEYLESS) for _, _, outcome in found))


def outcomes(messages: Iterable[Message], opener: Opener) -> Counter[tuple[int, str, str]]:
    """Return how many bodies of which agency and month (empty: not sealed) came to which outcome."""
    found: Counter[tuple[int, str, str]] = Counter()
    for header, body in _bodies(messages):
        opened = opener.open(header, body)
        month = month_name(header.body_key_id) if header.body_key_id else ""
        found[header.agency, month, opened.value if isinstance(opened, Shut) else READABLE] += 1
    return found


def _bodies(messages: Iterable[Message]) -> Iterator[tuple[Header, bytes]]:
    """Yield header and body of every accepted delivery; a frame that no fold can read is theirs to tell of."""
    for message in messages:
        try:
            frame = wire.decode(message.value)
            pairs = list(zip(unpack(frame.headers), wire.split(frame.body_sizes, frame.bodies), strict=True))
        except (Broken, ValueError):
            continue
        yield from ((header, body) for header, body in pairs if header.kind == Kind.EVENT)


def _state(listed: Listed) -> str:
    key = listed.key
    return f"wrapped by key-encryption key {key.kek}" if key.wrapped else f"destroyed {key.destroyed}"
