"""Who may do what on Kafka: the rights of `principals.yaml` for a convention's agencies and topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from schemas.errors import Broken
from streams.topics import Topics

Kind = Literal["TOPIC", "GROUP", "CLUSTER"]

BROKER = "migex.broker"
"""The cluster's own user, which may do everything; only the local broker and its first `acl apply` use it."""

CLUSTER = "kafka-cluster"
"""Kafka's name for the cluster as a thing that one has rights on."""

INCLUDED: Mapping[str, frozenset[str]] = {
    "DESCRIBE": frozenset({"READ", "WRITE", "DELETE", "ALTER"}),
}
"""Operation -> those that include it (Kafka's documentation, "Authorization and ACLs")."""

_AGENCY_ROLES = ("agency", "verdicts")


class Right(NamedTuple):
    """One thing that a user may do: an ACL of Kafka's that allows."""

    user: str
    kind: Kind
    name: str
    prefixed: bool  # also on everything whose name begins with `name`
    operation: str

    def covers(self, kind: str, name: str, operation: str) -> bool:
        """Return whether this right suffices for an operation on a topic, a group or the cluster."""
        if self.kind != kind or not (name.startswith(self.name) if self.prefixed else name == self.name):
            return False
        return operation == self.operation or self.operation in INCLUDED.get(operation, ())

    def __str__(self) -> str:
        return f"{self.user} may {self.operation} {self.kind.lower()} {self.name}{'*' * self.prefixed}"


def product_user(name: str) -> str:
    """Return the user of one of the product's principals, e.g. `gateway`."""
    return f"migex.{name}"


def agency_user(agency: str) -> str:
    """Return the user of an agency."""
    return f"agency.{agency}"


def product_users() -> list[str]:
    """Return the users of all of the product's principals, without the cluster's own."""
    return [product_user(name) for name in _table()["product"]]


def is_ours(user: str) -> bool:
    """Return whether a user's name is one that only this product gives."""
    return user.startswith(("migex.", "agency."))


def rights(topics: Topics) -> list[Right]:
    """Return the rights of everybody, of whatever generation; raises Broken for a role that no topic has."""
    found: list[Right] = []
    for name, row in _table()["product"].items():
        found += _rights(product_user(name), row or {}, topics, None)
    for agency in agencies(topics):
        found += _rights(agency_user(agency), _table()["agency"], topics, agency)
    return found


def agencies(topics: Topics) -> list[str]:
    """Return the codes of all agencies, in the convention's order."""
    return [spec.role.split(":")[1] for spec in topics.all() if spec.role.startswith("verdicts:")]


def groups(topics: Topics) -> list[str]:
    """Return the names of the consumer groups that the product's processes use for a generation, and one an agency."""
    found = []
    for right in rights(topics):
        if right.kind == "GROUP" and right.operation == "READ":
            found.append(f"{right.name}{topics.generation}" if right.prefixed else right.name)
    return found


def _rights(user: str, row: Mapping[str, Any], topics: Topics, agency: str | None) -> Iterator[Right]:
    for named, operations in row.get("topics", {}).items():
        for name, prefixed in _topics(named, topics, agency):
            yield from (Right(user, "TOPIC", name, prefixed, operation) for operation in operations)
    for named, operations in row.get("groups", {}).items():
        name = named.format(agency=agency)
        for operation in operations:
            yield Right(user, "GROUP", name.removesuffix("*"), name.endswith("*"), operation)
    for operation in row.get("cluster", ()):
        yield Right(user, "CLUSTER", CLUSTER, prefixed=False, operation=operation)


def _topics(named: str, topics: Topics, agency: str | None) -> Iterator[tuple[str, bool]]:
    """Yield the names of the topics that a line means, and whether it is the beginning of their names."""
    if named.endswith("*"):
        yield named.removesuffix("*"), True
        return
    meant = [spec for spec in topics.all() if spec.role.split(":")[0] == named]
    if not meant:
        raise Broken("unknown-topic-role", f"No topic has the role {named!r} of principals.yaml.")
    for spec in meant:
        if named not in _AGENCY_ROLES or agency in (None, spec.role.split(":")[1]):
            yield spec.name, False


@cache
def _table() -> Mapping[str, Any]:
    text = Path(__file__).with_name("principals.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded
