"""What watches the system names only what exists: metrics, labels, runbooks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import dashboard
from streams.telemetry import METRICS
from tests.house import tree

OPS = tree.ROOT / "ops"
PROMETHEUS = OPS / "prometheus"
RUNBOOKS = OPS / "runbooks"
RULES: Mapping[str, Any] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
ALERTS: Mapping[str, Mapping[str, Any]] = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
}
SCRAPE_LABELS = {"job", "instance", "process", "generation", "crew", "le", "equation"}


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of the rules and the dashboard."""
    yield from (rule["expr"] for group in RULES["groups"] for rule in group["rules"])
    yield from (query.expr for _, row in dashboard.ROWS for panel in row for query in panel.queries)


def test_every_metric_asked_for_is_one_that_a_process_shows() -> None:
    shown = {series for name, metric in METRICS.items() for series in series_of(name, metric.kind)}
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    asked = {name for expr in expressions() for name in re.findall(r"\bmigex[_:][a-z_:]+", expr)}
    assert asked - shown - recorded == set()


def test_every_label_asked_for_is_one_that_a_metric_has() -> None:
    known = SCRAPE_LABELS | {label for metric in METRICS.values() for label in metric.labels}
    asked = {label for expr in expressions() for label in labels_in(expr)}
    assert asked - known == set()


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    everything = "\n".join(expressions())
    unseen = {name for name in METRICS if name not in everything}
    assert unseen <= {"migex_ticks_total", "migex_cut_timestamp_seconds", "migex_feed_requests_total"}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)
    assert {rule["annotations"]["runbook"] for rule in ALERTS.values()} == {f"ops/runbooks/{a}.md" for a in ALERTS}


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Meaning", "Look", "Do", "Over when"]


def test_every_alert_has_a_test() -> None:
    cases = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    spoken = {case["alertname"] for test in cases for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert spoken == set(ALERTS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    rules = [{"record": "tried", "expr": expr} for expr in expressions()]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "tried", "rules": rules}]}))
    # Equal records of other expressions are what this file is made of, hence --lint=none.
    checked = subprocess.run(["promtool", "check", "rules", "--lint=none", file], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()


def test_the_dashboard_begins_with_the_books() -> None:
    first = dashboard.ROWS[0][1][0]
    assert [re.findall(r'entry="(\w+)"', query.expr) for query in first.queries] == [[e] for e in dashboard.ENTRIES]


def series_of(name: str, kind: str) -> set[str]:
    """Return the series that a metric of this kind shows."""
    return {name} if kind != "histogram" else {f"{name}_bucket", f"{name}_count", f"{name}_sum"}


def labels_in(expr: str) -> set[str]:
    """Return the labels that an expression selects, groups or joins by."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expr)
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expr)
    return set(selected) | {label.strip() for group in grouped for label in group.split(",") if label.strip()}
