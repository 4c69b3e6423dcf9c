"""Persons: clusters of the reports of a component, as a pure function of the set of reports.

A component is a set of reports in one block that hang together by link keys, or by an operator's decision. Mostly it is
one person. It is more than one when it holds different personal numbers: a shared document or name does not make two
numbers one person (design decision 10). Then keys link from strong to weak, and a key that would join two numbers joins
nobody. An operator's decisions come first: what they join are one person, whatever the numbers; what they tell apart no
key joins; where they contradict each other, telling apart prevails.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from schemas.core import DOCUMENT, NAME, PERSONAL_NO
from streams.reconcile.happenings import DECISION, Report, subjects

Cluster = list[Report]
Pair = frozenset[bytes]
"""Two records."""

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
    decisions = [report for report in reports if report.family == DECISION]
    if not decisions and (len(reports) == 1 or len(_numbers(reports)) <= 1):
        return [list(reports)]
    linked, apart = decided(decisions)
    clusters = [[report] for report in sorted(reports, key=lambda r: r.record) if report.family != DECISION]
    clusters = _joined(clusters, [_ties(cluster, linked) for cluster in clusters], lambda own: _apart(own, apart))
    clusters = _joined(clusters, [_keys(c, PERSONAL_NO) for c in clusters], lambda own: _apart(own, apart))
    # numbers that were found to be one person's count as one from here on
    number_of = {number: min(_numbers(cluster)) for cluster in clusters for number in _numbers(cluster)}

    def clash(own: Iterable[Cluster]) -> bool:
        together = _flat(own)
        return len({number_of[number] for number in _numbers(together)}) > 1 or _apart([together], apart)

    for kind in (DOCUMENT, NAME):
        holders: dict[bytes, list[Cluster]] = {}
        for cluster in clusters:
            for key in _keys(cluster, kind):
                holders.setdefault(key, []).append(cluster)
        usable = {key for key, own in holders.items() if not clash(own)}
        clusters = _joined(clusters, [_keys(cluster, kind) & usable for cluster in clusters], clash)
    return clusters


def decided(decisions: Iterable[Report]) -> tuple[frozenset[Pair], frozenset[Pair]]:
    """Return which pairs of records operators joined, and which they told apart: the newest decision on each counts."""
    newest: dict[Pair, object] = {}
    for decision in sorted(decisions, key=lambda d: (d.core.at, d.recorded_at, d.record)):
        newest[frozenset(subjects(decision))] = decision.code("linking")
    linked = frozenset(pair for pair, linking in newest.items() if linking == "LINK")
    return linked, frozenset(newest) - linked


def _ties(cluster: Cluster, linked: Iterable[Pair]) -> set[Pair]:
    records = {report.record for report in cluster}
    return {pair for pair in linked if pair & records}


def _apart(clusters: Iterable[Cluster], apart: Iterable[Pair]) -> bool:
    records = {report.record for report in _flat(clusters)}
    return any(len(pair) == 2 and pair <= records for pair in apart)


def _keys(cluster: Iterable[Report], kind: int) -> set[bytes]:
    return {key for report in cluster for key in report.keys if key[0] == kind}


def _numbers(reports: Iterable[Report]) -> set[bytes]:
    return _keys(reports, PERSONAL_NO)


def _flat(clusters: Iterable[Cluster]) -> Cluster:
    return [report for cluster in clusters for report in cluster]


def _joined(
    clusters: Sequence[Cluster], keys: Sequence[Iterable[Hashable]], clash: Callable[[list[Cluster]], bool]
) -> list[Cluster]:
    """Join the clusters that share a key, directly or through others, but none of a group in which two clash."""
    joined: list[Cluster] = []
    for group in connected(clusters, keys):
        joined.extend(group if len(group) > 1 and clash(group) else [_flat(group)])
    return joined
