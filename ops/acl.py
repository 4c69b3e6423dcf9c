"""The rights on the cluster against the rights as data: what differs, and what puts it right; the users' passwords."""

from __future__ import annotations

import asyncio
import secrets as chance
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from ops.trespass import admits
from schemas.errors import Unavailable
from streams.kafka import Kafka
from streams.principals import Right, is_ours, rights
from streams.topics import Topics

APPLY = "`migex acl apply`"
_ITERATIONS = 8192
_SECS = 30.0
_KINDS = {"TOPIC": ResourceType.TOPIC, "GROUP": ResourceType.GROUP, "CLUSTER": ResourceType.BROKER}


class Difference(NamedTuple):
    """One right that is missing or too much; `binding` is Kafka's own form of it."""

    binding: AclBinding
    missing: bool
    remedy: str = APPLY

    @property
    def right(self) -> str:
        """The right in words."""
        return _said(self.binding)

    def __str__(self) -> str:
        return f"{self.right}: {'is missing' if self.missing else 'is too much'}; remedy: {self.remedy}"


def diff(kafka: Kafka, topics: Topics) -> list[Difference]:
    """Return how the cluster's rights differ from the data, for our own users and for others' rights on what is ours.

    Raises Unavailable when Kafka does not answer or refuses.
    """
    with _admin(kafka) as admin:
        return _diff(admin, topics)


def apply(kafka: Kafka, topics: Topics) -> list[Difference]:
    """Give our users the rights of the data, withdraw all others of theirs, and return what was done.

    Rights of users who are not ours stay. Raises Unavailable when Kafka does not answer or refuses.
    """
    with _admin(kafka) as admin:
        mine = [each for each in _diff(admin, topics) if each.remedy == APPLY]
        new = [each.binding for each in mine if each.missing]
        if new:
            _all(admin.create_acls(new).values())
        old = [each.binding for each in mine if not each.missing]
        if old:
            _all(admin.delete_acls([filter_of(binding) for binding in old]).values())
        return mine


def set_passwords(kafka: Kafka, passwords: Mapping[str, str]) -> list[str]:
    """Let users come in by these passwords, and return those who could not before.

    Raises Unavailable when Kafka does not answer or refuses.
    """
    strangers = [
        user for user, known in zip(passwords, asyncio.run(_known(kafka, passwords)), strict=True) if not known
    ]
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    with _admin(kafka) as admin:
        wanted = [
            UserScramCredentialUpsertion(user, info, passwords[user].encode(), chance.token_bytes(24))
            for user in strangers
        ]
        if wanted:
            _all(admin.alter_user_scram_credentials(wanted).values())
    return strangers


def forget_password(kafka: Kafka, user: str) -> None:
    """Let a user come in no more; raises Unavailable when Kafka does not answer or refuses."""
    with _admin(kafka) as admin:
        deletion = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
        _all(admin.alter_user_scram_credentials([deletion]).values())


async def _known(kafka: Kafka, passwords: Mapping[str, str]) -> list[bool]:
    ways = [replace(kafka, user=user, password=password) for user, password in passwords.items()]
    return await asyncio.gather(*map(admits, ways))


def _diff(admin: AdminClient, topics: Topics) -> list[Difference]:
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    found = {_key(binding): binding for binding in admin.describe_acls(every).result(_SECS)}
    wanted = {_key(binding): binding for binding in map(_binding, rights(topics))}
    different = [Difference(binding, missing=True) for key, binding in wanted.items() if key not in found]
    for key, binding in found.items():
        user = binding.principal.removeprefix("User:")
        if key not in wanted and is_ours(user):
            different.append(Difference(binding, missing=False))
        elif key not in wanted and _touches_ours(binding):
            different.append(Difference(binding, missing=False, remedy="withdraw it with Kafka's own tool"))
    return different


def _touches_ours(binding: AclBinding) -> bool:
    """Return whether a stranger's right reaches what is ours: our topics and groups, or the cluster's own rights."""
    if binding.permission_type != AclPermissionType.ALLOW:
        return False
    if binding.restype == ResourceType.BROKER:
        return binding.operation in (AclOperation.ALTER, AclOperation.ALL)
    prefixed = binding.resource_pattern_type == ResourcePatternType.PREFIXED
    return binding.name == "*" or binding.name.startswith("migex.") or (prefixed and "migex.".startswith(binding.name))


def _binding(right: Right) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
    operation = AclOperation[right.operation]
    return AclBinding(
        _KINDS[right.kind], right.name, pattern, f"User:{right.user}", "*", operation, AclPermissionType.ALLOW
    )


def filter_of(binding: AclBinding) -> AclBindingFilter:
    """Return what means this right and no other."""
    return AclBindingFilter(*_fields(binding))


def _key(binding: AclBinding) -> tuple[object, ...]:
    return tuple(each.name if isinstance(each, Enum) else each for each in _fields(binding))


def _fields(binding: AclBinding) -> tuple[Any, ...]:
    return (
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _said(binding: AclBinding) -> str:
    """Return a right in words."""
    verb = "may" if binding.permission_type == AclPermissionType.ALLOW else "must not"
    kind = "cluster" if binding.restype == ResourceType.BROKER else binding.restype.name.lower()
    star = "*" if binding.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    host = "" if binding.host == "*" else f" from {binding.host}"
    return (
        f"{binding.principal.removeprefix('User:')} {verb} {binding.operation.name} {kind} {binding.name}{star}{host}"
    )


def _all(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.result(_SECS)


@contextmanager
def _admin(kafka: Kafka) -> Iterator[AdminClient]:
    try:
        yield AdminClient({**kafka.librdkafka(), "log_level": 3})  # errors only, on standard error
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].name() if isinstance(error, KafkaException) else "no answer"
        who = f"as {kafka.user} " if kafka.named else ""
        rule = f"Kafka at {kafka.bootstrap} did not do as asked {who}({reason})."
        raise Unavailable(
            "acl-refused", f"{rule} Who may not change rights is told so; has Kafka an authorizer?"
        ) from error
