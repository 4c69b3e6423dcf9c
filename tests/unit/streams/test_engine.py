"""What one step folds: enough to be worth a write, not so much that other partitions wait."""

from __future__ import annotations

import pytest

from streams.engine import STEP_BYTES, STEP_MESSAGES, chunked
from streams.fold import Message


def sizes(*values: int) -> list[int]:
    """Return how many messages of these sizes each step folds."""
    return [len(chunk) for chunk in chunked(Message(n, bytes(size)) for n, size in enumerate(values))]


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ([], []),
        ([100] * 20, [20]),
        ([100] * (STEP_MESSAGES + 5), [STEP_MESSAGES, 5]),
        ([STEP_BYTES // 4] * 9, [4, 4, 1]),
        ([3 * STEP_BYTES, 1, 1], [1, 2]),
    ],
    ids=["nothing", "small ones together", "not without end", "large ones by their size", "one of any size alone"],
)
def test_a_step_folds_messages_up_to_a_size(values: list[int], steps: list[int]) -> None:
    assert sizes(*values) == steps


def test_no_message_is_left_out_and_their_order_stays() -> None:
    messages = [Message(n, bytes(n * 4_000)) for n in range(300)]
    assert [message for chunk in chunked(messages) for message in chunk] == messages
