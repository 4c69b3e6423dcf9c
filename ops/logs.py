"""Log lines: structlog over the standard library, so that Faust's and aiokafka's lines come out in the same form.

JSON where a file reads, pretty where a person does. The event is a fixed sentence, values are fields.
"""

from __future__ import annotations

import logging.config
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

QUIET = {"aiokafka": "WARNING", "faust": "WARNING", "mode": "WARNING", "httpx": "WARNING", "uvicorn.access": "WARNING"}
"""Libraries whose chatter is left out unless the level is DEBUG."""


def set_up(level: str = "INFO", stream: TextIO | None = None, **context: object) -> None:
    """Send all log lines of this process to `stream` (standard error), each with the `context` fields.

    JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    structlog.configure(
        processors=[*_shared(context), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(config(level, stream, **context))


def config(level: str = "INFO", stream: TextIO | None = None, **context: object) -> dict[str, Any]:
    """Return the same set-up for `logging.config.dictConfig`, as `faust.Worker(logging_config=…)` takes it."""
    stream = stream or sys.stderr
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "migex": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(context),
                "processors": _rendering(pretty=stream.isatty()),
            }
        },
        "handlers": {"migex": {"class": "logging.StreamHandler", "stream": stream, "formatter": "migex"}},
        "root": {"level": level, "handlers": ["migex"]},
        "loggers": {name: {"level": "NOTSET" if level == "DEBUG" else quiet} for name, quiet in QUIET.items()},
    }


def _shared(context: Mapping[str, object]) -> list[Processor]:
    def add_context(_: object, __: str, line: EventDict) -> EventDict:
        return {**context, **line}  # not by structlog's context variables: the libraries' threads do not inherit them

    return [
        add_context,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(*, pretty: bool) -> list[Processor]:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if pretty:
        return [remove, structlog.dev.ConsoleRenderer()]
    return [remove, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
