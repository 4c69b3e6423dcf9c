"""The topics of the system and which partition a key belongs to.

A topic is named by its *role*: `inbox`, `log`, `partials`, `quarantine`, `releases`, `clock`,
`agency:<agency>:<family>`, `verdicts:<agency>`, `feed:<table>`. Names, partitions and retention are in `topics.yaml`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from schemas.errors import Broken

if TYPE_CHECKING:
    from schemas.conventions import Convention

REPLICAS = 3
"""Copies of every partition, where the cluster has so many brokers (design, decision 5)."""

_PARAMETERS = {"agency": ("agency", "family"), "verdicts": ("agency",), "feed": ("table",)}
_DAY_MS = 86_400_000


def partition(key: bytes, partitions: int) -> int:
    """Return the partition of a key, the same for all producers: CRC-32 modulo, librdkafka's `consistent`."""
    return zlib.crc32(key) % partitions


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be on the cluster; `keep_ms` -1: for ever; see `topics.yaml` for the rest."""

    role: str
    name: str
    partitions: int
    keep_ms: int
    max_bytes: int
    may_grow: bool = False
    broker_time: bool = False

    def config(self, replicas: int) -> dict[str, str]:
        """Return the topic's configuration in Kafka's own words, for this number of replicas."""
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.keep_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_bytes),
            "min.insync.replicas": str(max(1, replicas - 1)),
            "unclean.leader.election.enable": "false",
        }
        return config | {"message.timestamp.type": "LogAppendTime"} if self.broker_time else config


class Topics:
    """All topics of one generation for the given agencies, event families and tables."""

    def __init__(self, generation: int, agencies: Iterable[str], families: Iterable[str], tables: Iterable[str] = ()):
        """Entitle every agency to every family; see `of` for the entitlements of a convention."""
        families = tuple(families)
        self._set(generation, dict.fromkeys(agencies, families), tables)

    @classmethod
    def of(cls, generation: int, convention: Convention) -> Topics:
        """Return the topics of a convention: each agency's own families only, and its tables."""
        topics = cls(generation, (), ())
        topics._set(generation, {code: tuple(a.families) for code, a in convention.agencies.items()}, convention.tables)
        return topics

    def _set(self, generation: int, entitled: Mapping[str, Iterable[str]], tables: Iterable[str]) -> None:
        roles = ["inbox", "log", "partials", "quarantine", "releases", "clock"]
        roles += [f"agency:{agency}:{family}" for agency, families in entitled.items() for family in families]
        roles += [f"verdicts:{agency}" for agency in entitled]
        roles += [f"feed:{table}" for table in tables]
        self.generation = generation
        self._specs = {role: _spec(role, generation) for role in roles}

    def __getitem__(self, role: str) -> TopicSpec:
        """Return the topic with this role; raises Broken for a role that the convention does not give."""
        try:
            return self._specs[role]
        except KeyError:
            raise Broken("unknown-topic-role", f"No topic has the role {role!r} in this convention.") from None

    def name(self, role: str) -> str:
        """Return the Kafka name of the topic with this role; raises Broken when there is none."""
        return self[role].name

    def partitions(self, role: str) -> int:
        """Return how many partitions the topic with this role has; raises Broken when there is none."""
        return self[role].partitions

    def all(self) -> list[TopicSpec]:
        """Return every topic, ours first."""
        return list(self._specs.values())

    def agency_topics(self) -> dict[str, tuple[str, str]]:
        """Return what may come in through Kafka: topic name -> (agency, family)."""
        split = {spec.name: spec.role.split(":") for spec in self._specs.values() if spec.role.startswith("agency:")}
        return {name: (agency, family) for name, (_, agency, family) in split.items()}


@cache
def _templates() -> Mapping[str, Mapping[str, Any]]:
    text = Path(__file__).with_name("topics.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return loaded


def _spec(role: str, generation: int) -> TopicSpec:
    kind, *values = role.split(":")
    row = _templates()[kind]
    words = dict(zip(_PARAMETERS.get(kind, ()), values, strict=True))
    keep = row["keep_days"]
    return TopicSpec(
        role=role,
        name=row["name"].format(generation=generation, **words),
        partitions=row["partitions"],
        keep_ms=-1 if keep is None else keep * _DAY_MS,
        max_bytes=row["max_kib"] * 1024,
        may_grow=row.get("may_grow", False),
        broker_time=row.get("broker_time", False),
    )
