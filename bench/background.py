"""Load on the agents at a steady rate: frames as busy doors write them, straight into the inbox, from another process.

    python -m bench.background --rate 8000 --secs 300

Reads the settings from the environment, as every process does. The frames are made first, into a file, so that beside
the system that is measured they only have to be sent. Says BEGIN when it begins to send, and sends until SIGTERM or
until there are no more; its last line is how many records were acknowledged, and in how many seconds.
"""

from __future__ import annotations

import argparse
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import BinaryIO

from confluent_kafka import KafkaError, Producer

from bench.load import RECORDS_AN_ORIGINAL, frames
from ops import settings
from ops.access import access
from schemas.conventions import load
from schemas.frame import MAX_RECORDS
from streams.topics import Topics

LINGER_SECS = 0.02
"""A door's: the records of one partition that come within this time share a frame."""

_HEAD = struct.Struct("<HHI")  # partition, records, bytes


def write_frames(file: BinaryIO, rate: float, secs: float, partitions: int, first: int = 0) -> None:
    """Write the frames of so many seconds, each as large as doors fill it then; `first` is a record's number."""
    size = min(MAX_RECORDS, max(1, round(rate * LINGER_SECS / partitions)))
    made = frames(round(rate * secs / RECORDS_AN_ORIGINAL), partitions, size, first=first)
    file.writelines(_HEAD.pack(where, records, len(value)) + value for where, records, value in made)


def read_frames(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield (partition, records, frame)."""
    while head := file.read(_HEAD.size):
        where, records, size = _HEAD.unpack(head)
        yield where, records, file.read(size)


def _publish(rate: float, secs: float, first: int) -> tuple[int, float]:
    of = settings.load()
    topic = Topics.of(of.generation, load(of.convention))["inbox"]
    stopped = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    producer = Producer({**access(of).librdkafka(), "acks": "all", "compression.type": "lz4", "linger.ms": 5})
    acknowledged = Tally()
    with tempfile.TemporaryFile() as file:
        write_frames(file, rate, secs, topic.partitions, first)
        file.seek(0)
        print("BEGIN", flush=True)
        began, sent = time.monotonic(), 0
        for where, records, value in read_frames(file):
            producer.produce(topic.name, value, partition=where, on_delivery=acknowledged.of(records))
            producer.poll(0)
            sent += records
            if stopped.wait(max(0.0, began + sent / rate - time.monotonic())):  # what it is late with is made up for
                break
        producer.flush()
    return acknowledged.records, time.monotonic() - began


class Tally:
    """How many records Kafka has acknowledged."""

    def __init__(self) -> None:
        """None so far."""
        self.records = 0

    def of(self, records: int) -> Callable[[KafkaError | None, object], None]:
        """Return what librdkafka calls when a frame of so many records has arrived, or has not."""

        def count(error: KafkaError | None, _: object) -> None:
            if error is None:
                self.records += records

        return count


def main(argv: Sequence[str] | None = None) -> None:
    """Send, and print the number of records and the seconds taken."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--secs", type=float, required=True)
    options.add_argument("--first", type=int, default=0, help="number of the first record; a number is used once")
    chosen = options.parse_args(argv)
    print(*_publish(chosen.rate, chosen.secs, chosen.first))


if __name__ == "__main__":
    main()
