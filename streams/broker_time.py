"""The brokers' time, against which the clock holds its own: a tick in the future would stop all cuts until then.

Kafka says its time in one way only: it writes it into the records of a topic whose timestamps are its own
(`message.timestamp.type=LogAppendTime`), and tells the sender. So such a record, which nobody reads, goes before each
tick.
"""

from __future__ import annotations

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError

from schemas.errors import Unavailable
from streams.telemetry import ClockTelemetry

_BROKERS = 1  # a record's timestamp type: LogAppendTime (Kafka protocol, record batch attributes)


class BrokerTime:
    """Says whether a tick may be written, by the time that a broker has now."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, telemetry: ClockTelemetry, most_ahead_secs: float = 60.0
    ) -> None:
        """`topic` is the one with the brokers' timestamps; the producer is started by the caller."""
        self._producer = producer
        self._topic = topic
        self._telemetry = telemetry
        self._most_ahead_secs = most_ahead_secs
        self._refused = False

    async def allows(self, tick: int) -> bool:
        """Return whether a tick (seconds since 1970) is not too far ahead of the broker's time.

        Raises Unavailable("clock-topic") when the broker does not say its time, KafkaError as the producer does.
        """
        ahead = tick - await self._now()
        self._telemetry.ahead(ahead)
        refused = ahead > self._most_ahead_secs
        if refused != self._refused:
            self._refused = refused
            log = structlog.get_logger(__name__)
            if refused:
                log.error("This host's time is ahead of the broker's: no tick is written.", ahead_secs=round(ahead, 1))
            else:
                log.info("This host's time agrees with the broker's again: ticks go on.", ahead_secs=round(ahead, 1))
        return not refused

    async def _now(self) -> float:
        """Return the broker's time, in seconds since 1970."""
        try:
            told = await (await self._producer.send(self._topic, b"", partition=0))
        except UnknownTopicOrPartitionError as error:
            raise self._unavailable("is not there") from error
        if told.timestamp_type != _BROKERS:
            raise self._unavailable("does not bear the broker's time")
        return float(told.timestamp / 1000)

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable("clock-topic", f"The topic {self._topic} {what}: run `migex topics apply`.")
