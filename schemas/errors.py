"""Errors, named by what the reader must do.

MigexError
├── Refused        the sender must change something; never retried
├── Unavailable    try again after `retry_after_secs`
├── Misconfigured  stop at start (exit status 78) and name the setting
└── Broken         an invariant of ours failed: quarantine, page, mend the code
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Listed:
    """The code list that refused a value: its name, which edition of it, and the day for which it was asked."""

    list: str
    version: str  # 12 hexadecimal digits, others as soon as another code holds on any day
    day: str | None  # ISO 8601; None: the day of the happening is not known, and the code stands in it on no day


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one value of a delivery was refused; never contains the value itself.

    `code` is stable and documented, `field` a path such as `event.checkpoint`, `rule` says what
    must hold, `remedy` what the sender should do, `listed` which code list refused, if one did.
    """

    code: str
    field: str
    rule: str
    remedy: str
    listed: Listed | None = None


class MigexError(Exception):
    """The root of all errors that migex raises on purpose."""

    def __init__(self, code: str, detail: str) -> None:
        """`code` from a bounded, documented set; `detail` a sentence with a tip, free of personal values."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how another process gets it: as it is, since its constructor takes other things than `args`."""
        return _handed_over, (type(self), self.args, self.__dict__)


class Refused(MigexError):
    """The sender must change something before sending again."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        """`reasons` has at least one entry."""
        first = reasons[0]
        super().__init__(first.code, f"{first.field}: {first.rule} {first.remedy}")
        self.reasons = reasons


class Unavailable(MigexError):
    """Something we depend on is away; the same call may succeed later."""

    def __init__(self, code: str, detail: str, retry_after_secs: int = 5) -> None:
        """`retry_after_secs` goes into the Retry-After header."""
        super().__init__(code, detail)
        self.retry_after_secs = retry_after_secs


class Misconfigured(MigexError):
    """A setting or a file is wrong; the process must not start."""


class Broken(MigexError):
    """One of our own invariants failed."""


def _handed_over(kind: type[MigexError], args: tuple[Any, ...], said: dict[str, Any]) -> MigexError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(said)
    return error
