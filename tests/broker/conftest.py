"""One broker of their own for all tests with workers, since the inbox has one name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.broker import Broker
from tests.broker.workers import Inbox


@pytest.fixture(scope="session")
def inbox(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """The inbox on a broker of its own (`broker` is asked for its check of Java and Maven)."""
    with Broker(tmp_path_factory.mktemp("kafka")) as own:
        yield Inbox(own.bootstrap)
