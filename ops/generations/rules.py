"""What this program counts by, as a manifest has it, and whether the generation it works for began with that."""

from __future__ import annotations

from contextlib import closing

from connectors.feed_store import FeedStore, Generation, Manifest
from ops import secrets
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from streams.fold import VERSION


def manifest(
    settings: Settings, *, speaks_from: int = 0, every_from: int = 0, previous: int = 0, link_level: int = 1
) -> Manifest:
    """Return the manifest of a generation that begins now with this program and these settings.

    It links at the level at which the doors make link keys, or at a later one.
    """
    convention = load(settings.convention)
    return Manifest(
        folds=VERSION,
        convention=convention.counting_digest(),
        codelists=CodeLists.load(*convention.codelist_directories).digest().hex(),
        speaks_from=speaks_from,
        every_from=every_from,
        previous=previous,
        convention_file=str(settings.convention),
        link_level=max(link_level, secrets.level(settings.secrets)),
    )


def enrolled(settings: Settings) -> Generation:
    """Return the generation of the settings, as a worker that is to work for it; the first of a store becomes current.

    Raises Misconfigured for one that nobody began, that was dropped, or that counts otherwise than this program.
    """
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        return store.generations.enrol(settings.generation, manifest(settings))
