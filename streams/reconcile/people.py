"""Persons: clusters of the reports of a component, as a pure function of the set of reports.

A component is a set of reports in one block that hang together by link keys. Mostly it is one person. It is more
than one when it holds different personal numbers: a shared document or name does not make two numbers one person
(design decision 10). Then keys link from strong to weak, and a key that would join two numbers joins nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from schemas.core import DOCUMENT, NAME, PERSONAL_NO
from streams.reconcile.happenings import Report

_T = TypeVar("_T")


def connected(members: Sequence[_T], keys: Sequence[Iterable[Hashable]]) -> list[list[_T]]:
    """Return the groups of members that share a key, directly or through others; each in the order given."""
    parent = list(range(len(members)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    owner: dict[Hashable, int] = {}
    for i, own in enumerate(keys):
        for key in own:
            j = owner.setdefault(key, i)
            if j != i:
                a, b = root(i), root(j)
                parent[max(a, b)] = min(a, b)
    groups: dict[int, list[_T]] = {}
    for i, member in enumerate(members):
        groups.setdefault(root(i), []).append(member)
    return list(groups.values())


def persons(reports: Sequence[Report]) -> list[list[Report]]:
    """Return the persons among the reports of one component; the same for every order of the reports."""
    if len(reports) == 1 or len(_numbers(reports)) <= 1:
        return [list(reports)]
    clusters = [[report] for report in sorted(reports, key=lambda r: r.record)]
    clusters = _join(clusters, PERSONAL_NO)
    for kind in (DOCUMENT, NAME):
        clusters = _join_where_unambiguous(clusters, kind)
    return clusters


def _keys(cluster: Iterable[Report], kind: int) -> set[bytes]:
    return {key for report in cluster for key in report.keys if key[0] == kind}


def _numbers(reports: Iterable[Report]) -> set[bytes]:
    return _keys(reports, PERSONAL_NO)


def _flat(clusters: Iterable[list[Report]]) -> list[Report]:
    return [report for cluster in clusters for report in cluster]


def _join(clusters: list[list[Report]], kind: int) -> list[list[Report]]:
    groups = connected(clusters, [_keys(cluster, kind) for cluster in clusters])
    return [_flat(group) for group in groups]


def _join_where_unambiguous(clusters: list[list[Report]], kind: int) -> list[list[Report]]:
    """Join clusters by keys of this kind, leaving out what would put two personal numbers into one cluster."""
    numbers_of_key: dict[bytes, set[bytes]] = {}
    for cluster in clusters:
        numbers = _numbers(cluster)
        for key in _keys(cluster, kind):
            numbers_of_key.setdefault(key, set()).update(numbers)
    usable = [{k for k in _keys(c, kind) if len(numbers_of_key[k]) <= 1} for c in clusters]
    joined: list[list[Report]] = []
    for group in connected(clusters, usable):
        together = _flat(group)
        if len(_numbers(together)) <= 1:
            joined.append(together)
        else:
            joined.extend(group)
    return joined
