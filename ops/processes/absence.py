"""How a process of ours ends while Kafka is away: with the status by which the supervisor never gives it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaConnectionError

from ops.settings import Settings
from schemas.errors import Unavailable


@contextmanager
def kafka_needed(settings: Settings) -> Iterator[None]:
    """Raise Unavailable when no broker answers to what the body begins."""
    try:
        yield
    except KafkaConnectionError as error:
        detail = f"No broker answers at {settings.broker.bootstrap}: `migex broker up`, or set MIGEX_BROKER__BOOTSTRAP."
        raise Unavailable("kafka-away", detail) from error
