"""What all tests share: how they are dealt to the two cores, and one real Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.broker import Broker
from schemas.errors import Misconfigured


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file on one core, and everything that needs the broker on one core, so that one broker serves all."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            on_kafka = item.get_closest_marker("broker") or "broker" in getattr(item, "fixturenames", ())
            group = "broker" if on_kafka else item.path.as_posix()
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one Kafka of one node on free loopback ports for the session; give its bootstrap address.

    It is shared: a test takes topics of its own. Mark the test `broker`, so that it runs where the others do.
    """
    cluster = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        bootstrap = cluster.up()
    except Misconfigured as error:
        if error.code in {"java-missing", "java-old", "maven-missing"}:
            pytest.skip(error.detail)
        raise
    yield bootstrap
    cluster.down()
