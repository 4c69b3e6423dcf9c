"""Publish over HTTP with the Python client: an event checked, refused, mended, sent again, corrected and withdrawn.

migex up                                          # the gateway, and a key for each agency
.venv/bin/python examples/first/by_client.py      # prints each verdict
"""

from __future__ import annotations

import copy
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import migex

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:8080")
KEY_FILE = os.environ.get("KEY_FILE", ".migex/secrets/api-keys/gpk.key")
EVENT = Path(__file__).with_name("gpk.border.crossing.jsonl")


def main() -> None:
    """Publish one record in all its versions."""
    event = json.loads(EVENT.read_text(encoding="utf-8"))
    event["header"]["record_no"] = f"CLIENT-{time.time_ns()}"  # a record of its own each time
    wrong = copy.deepcopy(event)
    wrong["event"]["mode"] = "ROCKET"
    corrected = copy.deepcopy(event)
    corrected["header"] |= {"revision": 2, "op": "CORRECT", "recorded_at": datetime.now(UTC)}
    corrected["event"]["purpose"] = "STUDY"
    withdrawn = {"header": corrected["header"] | {"revision": 3, "op": "CANCEL"}}

    with migex.Client(GATEWAY, Path(KEY_FILE).read_text(encoding="utf-8").strip()) as client:
        for finding in client.preflight("border.crossing", [wrong]).findings:  # nothing is sent by that
            print("checked", finding.answer)
        tell(client, "wrong", wrong)
        tell(client, "mended", event)
        tell(client, "sent again", event)  # the same delivery: it has the same receipt, and counts once
        tell(client, "corrected", corrected)
        tell(client, "withdrawn", withdrawn)


def tell(client: migex.Client, what: str, event: dict[str, Any]) -> None:
    """Publish one event and print what is said to it."""
    for verdict in client.publish("border.crossing", [event]):
        print(what, verdict.answer, verdict.receipt or "")
        for error in verdict.errors:
            print(" ", error.code, error.field, error.rule, error.remedy)


if __name__ == "__main__":
    main()
