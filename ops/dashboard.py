"""The Grafana dashboard as rows of panels, from which `make generate` writes ops/grafana/dashboard.json.

Written as code because the JSON repeats itself fifty times and is not for people to read; the answers to "is anything
lost, late or wrong?" come in that order, the books first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 24
"""Grafana's grid has this many columns."""

_SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: a kind of Grafana's (`timeseries`, `stat`, `table`), a unit of Grafana's, a sentence of help."""

    kind: str
    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    alarm_above: float | None = None


def _books(entry: str) -> Query:
    return Query(f'sum by (agency, family) (migex:books{{entry="{entry}"}})', entry)


def _quantiles(metric: str, by: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket[5m])))", f"{{{{{by}}}}} p{q * 100:.0f}")
        for q in (0.5, 0.99)
    )


ENTRIES = (
    "deliveries",
    "refused",
    "duplicate",
    "new_version",
    "current",
    "superseded",
    "cancelled",
    "speaking",
    "quarantined",
)
"""The books' entries in the order of their equations."""

ROWS: Sequence[tuple[str, tuple[Panel, ...]]] = (
    (
        "Nothing is lost: received = refused + duplicate + new version; new version = current + superseded + cancelled",
        (
            Panel(
                "table",
                "Books per agency at the last cut",
                "Deliveries and what became of them. Speaking and quarantined are reconcile's own count of what "
                "deduplicate calls current.",
                "none",
                tuple(map(_books, ENTRIES)),
                width=18,
            ),
            Panel(
                "stat",
                "Equations that do not balance",
                "Must be 0.",
                "none",
                (Query("count(migex:books_difference != 0) or vector(0)"),),
                width=3,
                alarm_above=0.5,
            ),
            Panel(
                "stat",
                "Processes that do not answer",
                "Must be 0.",
                "none",
                (Query('count(up{job="migex"} == 0) or vector(0)'),),
                width=3,
                alarm_above=0.5,
            ),
        ),
    ),
    (
        "Nothing is late",
        (
            Panel(
                "timeseries",
                "Age of the last complete cut",
                "What the tables show was true this long ago.",
                "s",
                (
                    Query('min(migex_cut_age_seconds{crew!="beside"})', "cut"),
                    Query("time() - max(migex_tick_timestamp_seconds)", "tick"),
                ),
            ),
            Panel(
                "timeseries",
                "From happening to acceptance",
                "How late agencies report.",
                "s",
                _quantiles("migex_event_delay_seconds", "agency"),
            ),
            Panel(
                "timeseries",
                "From acceptance to fold",
                "Age of the newest record when an agent folded it.",
                "s",
                (Query("max by (agent, generation) (migex_lag_seconds)", "{{agent}} {{generation}}"),),
            ),
            Panel(
                "timeseries",
                "Frames not applied yet",
                "Log end less applied offset.",
                "none",
                (Query("sum by (agent, generation) (migex_lag_frames)", "{{agent}} {{generation}}"),),
            ),
            Panel(
                "timeseries",
                "Time of a fold",
                "One batch of messages and its write.",
                "s",
                _quantiles("migex_fold_seconds", "agent"),
            ),
            Panel(
                "timeseries",
                "Offsets: log end and applied",
                "Two lines of one agent that part mean that it falls behind.",
                "none",
                (
                    Query("sum by (agent) (migex_log_end_offset)", "{{agent}} end"),
                    Query("sum by (agent) (migex_applied_offset)", "{{agent}} applied"),
                ),
            ),
        ),
    ),
    (
        "Nothing waits or grows unseen",
        (
            Panel(
                "timeseries",
                "State on disk",
                "RocksDB of each agent.",
                "bytes",
                (Query("sum by (agent) (migex_state_bytes)", "{{agent}}"),),
                width=6,
            ),
            Panel(
                "timeseries",
                "Age of the newest checkpoint",
                "Of the oldest one: a new owner folds again what came since.",
                "s",
                (Query("max by (agent) (migex_checkpoint_age_seconds)", "{{agent}}"),),
                width=6,
            ),
            Panel(
                "timeseries",
                "Frames parked",
                "Waiting for their predecessor or for the other sources' tick.",
                "none",
                (Query("sum by (agent) (migex_parked_frames)", "{{agent}}"),),
                width=6,
            ),
            Panel(
                "timeseries",
                "Outputs not acknowledged",
                "Written to the state, not yet confirmed by Kafka.",
                "none",
                (Query("sum by (agent) (migex_outbox_frames)", "{{agent}}"),),
                width=6,
            ),
            Panel(
                "timeseries",
                "Records quarantined",
                "A fold could not apply them; each is kept with its bytes.",
                "none",
                (Query("sum by (agent, agency) (increase(migex_quarantined_total[15m]))", "{{agent}} {{agency}}"),),
                width=6,
            ),
        ),
    ),
    (
        "Doors, agents, feed",
        (
            Panel(
                "timeseries",
                "Answers a second",
                "What the doors told the senders.",
                "cps",
                (Query("sum by (agency, answer) (rate(migex_receipts_total[1m]))", "{{agency}} {{answer}}"),),
            ),
            Panel(
                "timeseries",
                "Reasons of refusals a second",
                "By code; docs/errors.md explains each.",
                "cps",
                (Query("sum by (agency, code) (rate(migex_refusals_total[5m]))", "{{agency}} {{code}}"),),
            ),
            Panel(
                "timeseries",
                "Records folded a second",
                "By agent and outcome.",
                "cps",
                (Query("sum by (agent, outcome) (rate(migex_records_total[1m]))", "{{agent}} {{outcome}}"),),
            ),
            Panel(
                "timeseries",
                "Door: a batch's answer",
                "From arrival to answer.",
                "s",
                _quantiles("migex_door_batch_seconds", "door"),
            ),
            Panel(
                "timeseries",
                "Door: Kafka's acknowledgement",
                "From sending a frame to the inbox until Kafka has it.",
                "s",
                _quantiles("migex_inbox_ack_seconds", "door"),
            ),
            Panel(
                "timeseries",
                "Files that wait, files given back in an hour",
                "By agency; failed ones could not be read, or not to their end.",
                "none",
                (
                    Query("sum by (agency) (migex_files_waiting)", "{{agency}} waiting"),
                    Query("sum by (agency, outcome) (increase(migex_files_total[1h]))", "{{agency}} {{outcome}}"),
                ),
            ),
            Panel(
                "timeseries",
                "Feed: an answer",
                "From a question's arrival to its answer.",
                "s",
                _quantiles("migex_feed_seconds", "table"),
            ),
        ),
    ),
    (
        "An agency's outbox, where its poller shows its metrics here",
        (
            Panel(
                "timeseries",
                "Rows that are not sent",
                "Claimed: in the request under way. Aside: the gateway failed on them, they are tried again.",
                "none",
                (Query("migex_agency_outbox_rows", "{{instance}} {{state}}"),),
            ),
            Panel(
                "timeseries",
                "Oldest row, numbers missing",
                "Open: a transaction under way may still bring them. Void: nobody will.",
                "none",
                (
                    Query("migex_agency_outbox_oldest_seconds", "{{instance}} oldest, s"),
                    Query("migex_agency_outbox_missing", "{{instance}} missing, {{state}}"),
                ),
            ),
            Panel(
                "timeseries",
                "Rows answered a second, requests that were not",
                "By the gateway; what it does not answer is sent again.",
                "cps",
                (
                    Query("sum by (answer) (rate(migex_agency_outbox_answers_total[1m]))", "{{answer}}"),
                    Query("sum(rate(migex_agency_outbox_failures_total[1m]))", "not answered"),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's own JSON model (schema version 39, Grafana 10 and newer)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, y, WIDTH, 1)})
        y += 1
        x = 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            panels.append(_panel(panel, _place(x, y, panel.width, panel.height)))
            x += panel.width
        y += row[-1].height
    for number, made in enumerate(panels, 1):
        made["id"] = number
    return {
        "uid": "migex",
        "title": "migex",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "panels": panels,
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.alarm_above is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.alarm_above}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    made: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(n, query, table) for n, query in enumerate(panel.queries)],
    }
    if table:
        made["transformations"] = _one_row_per_agency(panel.queries)
    return made


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _target(number: int, query: Query, table: bool) -> dict[str, Any]:
    target: dict[str, Any] = {"refId": _letter(number), "datasource": _SOURCE, "expr": query.expr}
    if table:
        return target | {"instant": True, "format": "table"}
    return target | {"legendFormat": query.legend}


def _one_row_per_agency(queries: tuple[Query, ...]) -> list[dict[str, Any]]:
    names = {f"Value #{_letter(n)}": query.legend for n, query in enumerate(queries)}
    organised = {"excludeByName": {"Time": True}, "renameByName": names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organised}]


def text() -> str:
    """Return the file as it should be."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
