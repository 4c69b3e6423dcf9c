"""The feed's process: the feed store over HTTP."""

from __future__ import annotations

from contextlib import closing

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from connectors.feed_api import create_app
from connectors.feed_store import FeedStore
from ops.processes.serving import serve
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load


def run(settings: Settings) -> None:
    """Answer questions about tables until SIGTERM; raises Misconfigured or Unavailable when the store cannot open."""
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    convention = load(settings.convention)
    lists = CodeLists.load(*convention.codelist_directories)
    host, port = settings.address("feed")
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        serve(create_app(store, convention, lists, metrics), host, port)
