"""Log lines: one form for ours and for the libraries'."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ops import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level
    for name in logs.QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_ours_and_a_librarys_line_have_the_same_fields() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream, process="clock")
    structlog.get_logger("streams.clock").info("A tick was written.", tick=7)
    logging.getLogger("aiokafka.producer").error("Broker %s is away", 1)
    ours, theirs = lines(stream)
    assert ours.pop("tick") == 7
    assert ours.keys() == theirs.keys() == {"event", "process", "level", "logger", "timestamp"}
    assert (theirs["event"], theirs["logger"], theirs["process"]) == ("Broker 1 is away", "aiokafka.producer", "clock")


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        structlog.get_logger().exception("It broke.")
    (line,) = lines(stream)
    assert str(line["exception"]).endswith("ZeroDivisionError")


def test_level_and_chatter_of_libraries() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    structlog.get_logger().debug("Not now.")
    logging.getLogger("aiokafka.consumer").info("Not ever.")
    assert lines(stream) == []
    logs.set_up("DEBUG", stream)
    logging.getLogger("aiokafka.consumer").debug("All of it.")
    assert [line["event"] for line in lines(stream)] == ["All of it."]


def test_a_person_reads_no_json() -> None:
    stream = Terminal()
    logs.set_up("INFO", stream)
    structlog.get_logger().info("Hello.", n=1)
    assert "Hello." in stream.getvalue()
    assert "{" not in stream.getvalue()
