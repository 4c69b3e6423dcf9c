"""Two brokers of their own, since the inbox has one name: one for all tests with workers, one for those with doors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.broker import Broker
from ops.settings import Files
from tests.broker.doors import Gateway, OnKafka, on_kafka
from tests.broker.workers import Inbox


@pytest.fixture(scope="session")
def inbox(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """The inbox on a broker of its own (`broker` is asked for its check of Java and Maven)."""
    with Broker(tmp_path_factory.mktemp("kafka")) as own:
        yield Inbox(own.bootstrap)


@pytest.fixture(scope="session")
def place(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnKafka]:
    """A Kafka and the settings of a system whose doors are tried one after another."""
    quick = Files(settle_secs=0.2, look_secs=0.1)
    with on_kafka(tmp_path_factory.mktemp("doors"), rehearsal=True, files=quick) as made:
        yield made


@pytest.fixture
def gateway(place: OnKafka) -> Iterator[Gateway]:
    """A gateway that is not started."""
    made = Gateway(place.settings)
    yield made
    made.stop()
