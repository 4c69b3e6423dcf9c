"""The client: what those who report events send, and what the gateway says to each.

    with migex.Client("http://127.0.0.1:8080", key) as client:
        for verdict in client.publish("border.crossing", events):
            for error in verdict.errors:
                print(verdict.record_no, error.field, error.rule, error.remedy)

It needs httpx and nothing else of this product.
"""

from migex.answers import Listed, Reason, Verdict
from migex.batches import Event
from migex.checks import Check, Finding
from migex.client import Client
from migex.errors import GatewayAway, GatewayRefuses, MigexError

__all__ = [
    "Check",
    "Client",
    "Event",
    "Finding",
    "GatewayAway",
    "GatewayRefuses",
    "Listed",
    "MigexError",
    "Reason",
    "Verdict",
]
