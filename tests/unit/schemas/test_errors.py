"""Errors: another process gets them as they are."""

from __future__ import annotations

import pickle

import pytest

from schemas.errors import Broken, MigexError, Misconfigured, Reason, Refused, Unavailable


@pytest.mark.parametrize(
    "error",
    [
        Refused((Reason("bad-date", "event.day", "It must be a date.", "Send one."),)),
        Unavailable("feed-away", "Wait.", 7),
        Misconfigured("bad-setting", "Set it."),
        Broken("log-hole", "It was cut."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_through_to_another_process(error: MigexError) -> None:
    got = pickle.loads(pickle.dumps(error))
    assert (type(got), str(got), vars(got)) == (type(error), str(error), vars(error))
