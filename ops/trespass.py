"""Trespass: tries what a principal must not do, so that a process refuses to run where Kafka would let it.

Each attempt is harmless even where it is allowed: a fetch far behind the end, a write of no message, a deletion from a
partition that no topic has, a change that is only validated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteRecordsRequest,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest

from ops.access import access
from ops.settings import Settings
from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka
from streams.principals import CLUSTER, Kind, groups, product_user, rights
from streams.topics import Topics

_NOWHERE = 2**31 - 1
"""A partition that no topic has."""

_FAR = 2**62
"""An offset behind every end."""

_UNKNOWN_TOPIC = "migex.trespass"
_MS = 10_000
_SHOWN = 5
_TOPIC, _LITERAL, _READ, _ALLOW = 2, 3, 3, 3  # Kafka's numbers: resource, pattern, operation, permission

_log = structlog.get_logger(__name__)


class Deed(NamedTuple):
    """One operation on one thing."""

    kind: Kind
    name: str
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} {self.kind.lower()} {self.name}"


async def checked_access(settings: Settings, name: str, topics: Topics) -> Kafka:
    """Return the way to Kafka as one of the product's principals, once it was tried; raises as `access` and `check`."""
    kafka = access(settings, name)
    await check(kafka, product_user(name), topics)
    return kafka


async def check(kafka: Kafka, user: str, topics: Topics) -> None:
    """Try everything that a principal must not do, and what it must be able to do, by this way to Kafka.

    Raises Misconfigured naming what is otherwise, Unavailable when Kafka does not answer. Where nobody proves who he
    is, nothing can be forbidden: then the log says so.
    """
    if not kafka.named:
        _log.info("Kafka does not ask who speaks: whoever reaches it may do everything.", kafka=kafka.bootstrap)
        return
    with _silence():
        found, ways = await asyncio.gather(allowed(kafka, everything(topics)), _without_proof(kafka))
    own = _deeds_of(user, topics)
    too_much = [*(str(deed) for deed in found if deed not in own), *ways]
    if too_much:
        remedy = "`migex acl diff` shows the rights behind it, `migex acl apply` withdraws those of our own users."
        raise Misconfigured("forbidden-right", f"{user} may do what it must not: {_shown(too_much)}. {remedy}")
    missing = [str(deed) for deed in own if deed not in found]
    if missing:
        raise Misconfigured("missing-right", f"{user} may not {_shown(missing)}: run `migex acl apply`.")


def everything(topics: Topics) -> list[Deed]:
    """Return all deeds that are tried, whoever may do them."""
    names = [spec.name for spec in topics.all()]
    deeds = [Deed("TOPIC", name, operation) for operation in _ATTEMPTS if operation != "CREATE" for name in names]
    deeds += [Deed("GROUP", name, "DESCRIBE") for name in groups(topics)]
    return [*deeds, Deed("TOPIC", _UNKNOWN_TOPIC, "CREATE"), Deed("CLUSTER", CLUSTER, "ALTER")]


async def allowed(kafka: Kafka, deeds: Iterable[Deed]) -> list[Deed]:
    """Try these deeds and return those that the cluster would let us do; raises Unavailable when it does not answer."""
    deeds = list(deeds)
    async with _client(kafka) as ask:
        refused = set[Deed]()
        for operation, attempt in _ATTEMPTS.items():
            names = [deed.name for deed in deeds if deed.kind == "TOPIC" and deed.operation == operation]
            refused |= {Deed("TOPIC", name, operation) for name in await _refused(ask, attempt, names)}
        refused |= {deed for deed in deeds if deed.kind == "GROUP" and await _group_is_refused(ask, deed.name)}
        refused |= {deed for deed in deeds if deed.kind == "CLUSTER" and await _cluster_is_refused(ask)}
    return [deed for deed in deeds if deed not in refused]


async def admits(kafka: Kafka) -> bool:
    """Return whether Kafka lets us in this way at all."""
    try:
        async with _client(kafka):
            return True
    except Unavailable:
        return False


def _deeds_of(user: str, topics: Topics) -> list[Deed]:
    """Return the deeds that a user has a right to."""
    own = [right for right in rights(topics) if right.user == user]
    return [deed for deed in everything(topics) if any(right.covers(*deed) for right in own)]


def _shown(found: Sequence[str]) -> str:
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep from the log what fails because it should."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _without_proof(kafka: Kafka) -> list[str]:
    """Return which of the ways to come in without a right proof are open."""
    ways = {"come in without a proof of who it is": replace(kafka, protocol="PLAINTEXT")}
    if kafka.by_password:
        ways["come in with a wrong password"] = replace(kafka, password="wrong")  # noqa: S106  # that is the point
    answers = await asyncio.gather(*map(admits, ways.values()))
    return [way for way, is_open in zip(ways, answers, strict=True) if is_open]


_Ask = Callable[[Any], Any]  # request -> response, to be awaited


@asynccontextmanager
async def _client(kafka: Kafka) -> AsyncIterator[_Ask]:
    client = AIOKafkaClient(**kafka.options(), request_timeout_ms=_MS)
    try:
        await client.bootstrap()
        yield lambda request: client.send(client.get_random_node(), request)
    except KafkaError as error:
        who = f" to {kafka.user}" if kafka.named else ""
        rule = f"Kafka at {kafka.bootstrap} does not answer{who}: {type(error).__name__}."
        raise Unavailable("kafka-away", f"{rule} Is it up, and is the password the one that it knows?") from error
    finally:
        await client.close()


async def _refused(ask: _Ask, attempt: _Attempt, names: Collection[str]) -> set[str]:
    """Return on which topics the attempt fails because we have no right."""
    answered = attempt.answers(await ask(attempt.request(names))) if names else []
    return {name for name, code in answered if code == TopicAuthorizationFailedError.errno}


class _Attempt(NamedTuple):
    """One operation on several topics: the request, and how its response names topic and error."""

    request: Callable[[Collection[str]], Any]
    answers: Callable[[Any], list[tuple[str, int]]]


def _by_partition(place: int) -> Callable[[Any], list[tuple[str, int]]]:
    """Read a response with topics and their partitions, where the error stands at this place of a partition."""
    return lambda response: [(name, each[place]) for name, partitions, *_ in response.topics for each in partitions]


_ATTEMPTS = {
    "READ": _Attempt(
        lambda names: FetchRequest(0, 0, 1, 0, [(name, [(0, _FAR, 1)]) for name in names]), _by_partition(1)
    ),
    "WRITE": _Attempt(
        lambda names: ProduceRequest(None, 1, _MS, [(name, [(0, b"")]) for name in names]), _by_partition(1)
    ),
    "DELETE": _Attempt(
        lambda names: DeleteRecordsRequest([(name, [(_NOWHERE, 0)]) for name in names], _MS), _by_partition(2)
    ),
    "ALTER_CONFIGS": _Attempt(
        lambda names: AlterConfigsRequest([(_TOPIC, name, []) for name in names], validate_only=True),
        lambda response: [(name, code) for code, _, _, name in response.resources],
    ),
    "CREATE": _Attempt(
        lambda names: CreateTopicsRequest([(name, 1, 1, [], []) for name in names], _MS, validate_only=True),
        lambda response: [(name, code) for name, code, *_ in response.topic_errors],
    ),
}


async def _group_is_refused(ask: _Ask, name: str) -> bool:
    response = await ask(FindCoordinatorRequest(name, 0))
    return bool(response.error_code == GroupAuthorizationFailedError.errno)


async def _cluster_is_refused(ask: _Ask) -> bool:
    """Try to withdraw a right that nobody has."""
    nobody = DeleteAclsRequest(_TOPIC, _UNKNOWN_TOPIC, _LITERAL, "User:migex.nobody", "*", _READ, _ALLOW)
    return bool((await ask(nobody)).filter_responses[0][0] == ClusterAuthorizationFailedError.errno)
