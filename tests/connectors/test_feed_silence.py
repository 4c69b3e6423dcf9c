"""The feed store on PostgreSQL when the writer falls silent in the middle of a step: nobody waits for it for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import cast

import psycopg
import pytest
from sqlalchemy import Engine

from connectors.feed_store import FeedStore
from connectors.feed_store.lease import Lease
from connectors.feed_store.opening import open_engine
from connectors.feed_store.writing import Transaction
from schemas.errors import Unavailable
from tests.connectors.feed_databases import new_database

SHORT = 0.3
IMPATIENT = "&options=-c%20idle_in_transaction_session_timeout%3D500"


@contextmanager
def silent_step(store: FeedStore) -> Iterator[tuple[Transaction, ExitStack]]:
    """Give the step in which a writer stops, and what ends it; by then its lease has run out."""
    with ExitStack() as going_on:
        lease = store.lease("a", SHORT)
        lease.take()
        step = going_on.enter_context(store.begin(0, lease))
        step.advance(0, 5)
        time.sleep(2 * SHORT)
        yield step, going_on


def taken(lease: Lease, secs: float = 20.0) -> Lease:
    """Take the lease as a worker does that stands by: again and again."""
    end = time.monotonic() + secs
    while time.monotonic() < end:
        with suppress(Unavailable):
            lease.take()
            return lease
    pytest.fail("Nobody could take over.")


def test_who_stands_by_is_told_and_does_not_wait_for_a_step_that_never_ends(postgres: str) -> None:
    address = new_database(postgres)
    with closing(FeedStore(address, 1)) as one, closing(FeedStore(address, 1)) as other, ThreadPoolExecutor(1) as pool:
        with silent_step(one):
            trial = pool.submit(other.lease("b").take)
            with pytest.raises(Unavailable, match="feed-busy"):
                trial.result(30)
        other.lease("b").take()


@pytest.mark.parametrize(
    "goes_on",
    [
        pytest.param(lambda step, _: step.advance(5, 7), id="it writes"),
        pytest.param(lambda _, going_on: going_on.close(), id="it commits"),
    ],
)
def test_a_writer_that_is_frozen_in_a_step_is_replaced_and_writes_no_more(
    postgres: str, goes_on: Callable[[Transaction, ExitStack], None]
) -> None:
    address = new_database(postgres) + IMPATIENT
    with closing(FeedStore(address, 1)) as one, closing(FeedStore(address, 1)) as other:
        with pytest.raises(Unavailable, match="feed-away"), silent_step(one) as (step, going_on):  # noqa: PT012 the server has cut it off
            with other.begin(0, taken(other.lease("b"))) as following:
                following.advance(0, 1)
            goes_on(step, going_on)
        with one.begin(0) as step:
            assert step.position() == 1


def shown(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())


def parameters(engine: Engine) -> dict[str, str]:
    with closing(engine.raw_connection()) as connection:
        return dict(cast("psycopg.Connection", connection.driver_connection).info.get_parameters())


@contextmanager
def opened(address: str) -> Iterator[Engine]:
    engine = open_engine(address)
    try:
        yield engine
    finally:
        engine.dispose()


def test_both_sides_ask_whether_the_other_is_still_there(postgres: str) -> None:
    """Over a local socket the server has no use for these settings, so that it is looked at what it was told."""
    with opened(new_database(postgres)) as engine:
        told = parameters(engine)
        assert shown(engine, "idle_in_transaction_session_timeout") == "1min"
    assert [told[name] for name in ("keepalives_idle", "keepalives_interval", "keepalives_count")] == ["5", "2", "3"]
    assert told["tcp_user_timeout"] == "10000"
    assert "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3" in told["options"]


def test_what_the_address_says_goes_before(postgres: str) -> None:
    own = "&keepalives_idle=60&options=-c%20lock_timeout%3D700"
    with opened(new_database(postgres) + own) as engine:
        assert parameters(engine)["keepalives_idle"] == "60"
        assert shown(engine, "lock_timeout") == "700ms"
        assert shown(engine, "idle_in_transaction_session_timeout") == "1min"
