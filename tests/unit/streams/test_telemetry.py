"""Metrics: declared in one place, named by the convention, with labels from closed sets."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.telemetry import (
    METRICS,
    AgentTelemetry,
    ClockTelemetry,
    DoorTelemetry,
    FeedTelemetry,
    FileTelemetry,
    OutboxTelemetry,
)

AGENCIES = ("gpk", "mvd")


def spoken() -> CollectorRegistry:
    """Return a registry in which everything that can be said has been said once."""
    registry = CollectorRegistry()
    door = DoorTelemetry(registry, "http", AGENCIES)
    door.answered("gpk", "accepted", 3)
    door.refused("gpk", "off-code")
    door.delayed("gpk", 90.0)
    door.batch_took(0.01)
    door.inbox_acked(0.02)
    agent = AgentTelemetry(registry, "aggregate", AGENCIES, now=lambda: 1000.0)
    agent.folded("cells", 5)
    agent.fold_took(0.001)
    agent.position(0, 7, 10)
    agent.newest(998_500)
    agent.parked(0, 2)
    agent.outbox(4)
    agent.state(4096)
    agent.quarantined("gpk")
    agent.books("gpk", "border.crossing", "current", 11)
    agent.cut(990)
    ClockTelemetry(registry).ticked(999)
    FeedTelemetry(registry, ["F06"]).answered("F06", "csv", 200, 0.1)
    outbox = OutboxTelemetry(registry)
    outbox.rows({"waiting": 3, "claimed": 1, "aside": 0})
    outbox.missing({"open": 1, "void": 2})
    outbox.oldest(12.0)
    outbox.answered(["accepted", "refused"])
    outbox.failed()
    files = FileTelemetry(registry, AGENCIES)
    files.waiting("gpk", 2)
    files.given_back("gpk", "complete")
    return registry


def samples(registry: CollectorRegistry) -> dict[str, float]:
    found = {}
    for metric in registry.collect():
        for sample in metric.samples:
            labels = ",".join(f"{k}={v}" for k, v in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_everything_declared_is_said_and_nothing_else() -> None:
    text = generate_latest(spoken()).decode()
    families = {f.name: f.type for f in text_string_to_metric_families(text) if not f.name.endswith("_created")}
    declared = {name.removesuffix("_total"): metric.kind for name, metric in METRICS.items()}
    assert families == declared


@pytest.mark.parametrize("name", sorted(METRICS))
def test_names_follow_the_convention(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(r"migex(_[a-z]+)+", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.help.endswith(".")
    if metric.kind == "histogram":
        assert name.endswith("_seconds")
        assert list(metric.buckets) == sorted(metric.buckets)


def test_values() -> None:
    found = samples(spoken())
    assert found["migex_receipts_total{door=http,agency=gpk,answer=accepted}"] == 3
    assert found["migex_lag_frames{agent=aggregate,partition=0}"] == 2
    assert found["migex_lag_seconds{agent=aggregate}"] == 1.5
    assert found["migex_cut_age_seconds"] == 10.0
    assert found["migex_books{agency=gpk,family=border.crossing,entry=current}"] == 11


def test_a_senders_words_make_no_new_series() -> None:
    registry = CollectorRegistry()
    door = DoorTelemetry(registry, "kafka", AGENCIES)
    for n in range(100):
        door.answered(f"agency{n}", f"answer{n}")
    FeedTelemetry(registry, ["F06"]).answered("../etc", "exe", 404, 0.0)
    found = samples(registry)
    assert found["migex_receipts_total{door=kafka,agency=other,answer=other}"] == 100
    assert found["migex_feed_requests_total{table=other,format=other,status=404}"] == 1


def test_the_age_of_a_cut_grows_by_itself() -> None:
    clock = iter([1000.0, 1060.0])
    registry = CollectorRegistry()
    AgentTelemetry(registry, "aggregate", AGENCIES, now=lambda: next(clock)).cut(990)
    assert [samples(registry)["migex_cut_age_seconds"] for _ in range(2)] == [10.0, 70.0]


def test_only_aggregate_speaks_of_cuts_and_a_partition_given_away_is_forgotten() -> None:
    registry = CollectorRegistry()
    agent = AgentTelemetry(registry, "reconcile", AGENCIES)
    agent.position(3, 1, 1)
    assert "migex_lag_frames{agent=reconcile,partition=3}" in samples(registry)
    agent.released(3)
    agent.released(4)
    assert not any("partition" in name or "cut" in name for name in samples(registry))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_accepts_what_is_shown() -> None:
    text = generate_latest(spoken())
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
