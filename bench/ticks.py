"""Ticks on an inbox at a pace of our own: something to fold while nothing else arrives."""

from __future__ import annotations

import threading

from confluent_kafka import Producer

from ops.access import access
from ops.settings import Settings
from schemas.frame import encode, tick_frame
from streams.topics import Topics

TICK_EVERY_SECS = 0.2


class Ticks:
    """Writes ticks into the inbox, five a second, until the end of the block."""

    def __init__(self, settings: Settings, topics: Topics, last: int) -> None:
        """`last` is the newest tick that lies in the inbox."""
        self._inbox = topics["inbox"]
        self._producer = Producer({**access(settings).librdkafka(), "acks": "all"})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.last = last

    def __enter__(self) -> Ticks:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.wait(TICK_EVERY_SECS):
            tick = self.last + 1
            for partition in range(self._inbox.partitions):
                self._producer.produce(self._inbox.name, encode(tick_frame(tick)), partition=partition)
            self._producer.flush()
            self.last = tick
