"""What all tests share: how they are dealt to the two cores, and one real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from ops.broker import Broker
from ops.jars import locked
from schemas.errors import Misconfigured
from tests.connectors.feed_databases import new_database, postgres_server

settings.register_profile("migex", deadline=None)  # no property may fail because the machine is busy
settings.load_profile("migex")


class OneKafkaAtATime(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Keep each file on one core, and all of tests/broker on one core: two loaded systems would only wait there."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", maxsplit=1)[0]
        return "broker" if path.startswith("tests/broker/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Deal the tests ourselves: xdist 3.8 cannot read its groups under pytest 9.2."""
    return OneKafkaAtATime(config, log)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Start one Kafka of one node on free loopback ports for the session; give its bootstrap address.

    All workers of a run share it, and a test takes topics of its own.
    """
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "shared-kafka"
    cluster = Broker(home)
    with locked(home / "users.lock"):
        _user(home, worker_id).touch()
        bootstrap = _up(cluster)
    yield bootstrap
    with locked(home / "users.lock"):
        _user(home, worker_id).unlink()
        if not list(home.glob("*.user")):
            cluster.down()


def _user(home: Path, worker_id: str) -> Path:
    return home / f"{worker_id}.user"


def _up(cluster: Broker) -> str:
    try:
        return cluster.up()
    except Misconfigured as error:
        if error.code in {"java-missing", "java-old", "maven-missing"}:
            pytest.skip(error.detail)
        raise


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start one PostgreSQL for the session, where there is one to start; give its address."""
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def feed_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty feed store, once of each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/feed.db"
    return new_database(request.getfixturevalue("postgres"))
