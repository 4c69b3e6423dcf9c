"""What the system says about itself in numbers: all metrics, and one class a kind of process that sets them.

No metric exists at import time: each process makes its class with a registry and passes it on. Labels come from closed
sets; a value outside its set is counted as `other`, so that no sender can grow the number of series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

AGENTS = frozenset({"deduplicate", "reconcile", "aggregate"})
ANSWERS = frozenset({"accepted", "refused"})
OUTCOMES = frozenset({"complete", "failed"})
FORMATS = frozenset({"text", "csv", "sdmx-csv", "json"})
OTHER = "other"

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_DELAY = (_MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 91 * _DAY, 183 * _DAY, 366 * _DAY)
_WAIT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FOLD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's definition; `buckets` for histograms only, in seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: Mapping[str, Metric] = {
    # doors
    "migex_receipts_total": Metric("counter", "Deliveries answered, by answer.", ("door", "agency", "answer")),
    "migex_refusals_total": Metric("counter", "Reasons given in refusals, by code.", ("door", "agency", "code")),
    "migex_event_delay_seconds": Metric(
        "histogram", "From the happening of an event to its acceptance.", ("agency",), _DELAY
    ),
    "migex_door_batch_seconds": Metric("histogram", "From a batch's arrival to its answer.", ("door",), _WAIT),
    "migex_inbox_ack_seconds": Metric(
        "histogram", "From sending a frame to Kafka's acknowledgement.", ("door",), _WAIT
    ),
    # the poller of an agency's outbox
    "migex_agency_outbox_rows": Metric("gauge", "Rows of an agency's outbox that are not sent, by state.", ("state",)),
    "migex_agency_outbox_missing": Metric(
        "gauge", "Numbers missing in an agency's outbox: open, they may still come; void, they will not.", ("state",)
    ),
    "migex_agency_outbox_oldest_seconds": Metric("gauge", "Age of the oldest row that is not sent; 0: there is none."),
    "migex_agency_outbox_answers_total": Metric("counter", "Rows answered by the gateway, by answer.", ("answer",)),
    "migex_agency_outbox_failures_total": Metric("counter", "Requests that the gateway did not answer."),
    "migex_files_waiting": Metric("gauge", "Files in an agency's folders that no door has taken.", ("agency",)),
    "migex_files_total": Metric("counter", "Files given back, by outcome: complete or failed.", ("agency", "outcome")),
    # agents
    "migex_records_total": Metric("counter", "Records folded, by outcome.", ("agent", "outcome")),
    "migex_fold_seconds": Metric("histogram", "One fold: a batch of messages and its write.", ("agent",), _FOLD),
    "migex_applied_offset": Metric(
        "gauge", "Offset of the last message that the state has applied.", ("agent", "partition")
    ),
    "migex_log_end_offset": Metric(
        "gauge", "Offset that the next message of the source partition will get.", ("agent", "partition")
    ),
    "migex_lag_frames": Metric("gauge", "Frames of the source that are not applied yet.", ("agent", "partition")),
    "migex_lag_seconds": Metric("gauge", "Age at its fold of the newest record folded.", ("agent",)),
    "migex_parked_frames": Metric("gauge", "Frames set aside until their predecessor comes.", ("agent", "partition")),
    "migex_outbox_frames": Metric("gauge", "Outputs written to the state and not acknowledged by Kafka.", ("agent",)),
    "migex_state_bytes": Metric("gauge", "Size of the state on disk.", ("agent",)),
    "migex_states_waiting": Metric(
        "gauge", "Partitions assigned and not open: copied, locked, or held elsewhere.", ("agent",)
    ),
    "migex_checkpoint_age_seconds": Metric(
        "gauge",
        "Age now of the newest published checkpoint; before the first: since the start.",
        ("agent", "partition"),
    ),
    "migex_checkpoints_damaged_total": Metric("counter", "Checkpoints that were not what they said.", ("agent",)),
    "migex_states_damaged_total": Metric("counter", "States that RocksDB found corrupt; made anew.", ("agent",)),
    "migex_state_ahead": Metric(
        "gauge", "1: the source lost what the state had applied; it stands still.", ("agent", "partition")
    ),
    "migex_quarantined_total": Metric("counter", "Records that a fold could not apply.", ("agent", "agency")),
    "migex_books": Metric("gauge", "The books at the last cut.", ("agency", "family", "entry")),
    "migex_cut_timestamp_seconds": Metric("gauge", "Instant of the last complete cut."),
    "migex_cut_age_seconds": Metric("gauge", "Age now of the last complete cut."),
    # clock
    "migex_ticks_total": Metric("counter", "Ticks written."),
    "migex_tick_timestamp_seconds": Metric("gauge", "Instant of the last tick written."),
    "migex_clock_ahead_seconds": Metric(
        "gauge", "How far the clock's host was ahead of the broker's time at the last tick due; below 0: behind."
    ),
    # feed
    "migex_feed_requests_total": Metric("counter", "Questions to the feed.", ("table", "format", "status")),
    "migex_feed_seconds": Metric("histogram", "From a question's arrival to its answer.", ("table",), _WAIT),
}
"""Every metric of the product; dashboards and alerts may use no other name that begins with `migex_`."""


class DoorTelemetry:
    """What a door says: answers, reasons, delays."""

    def __init__(self, registry: CollectorRegistry, door: str, agencies: Collection[str]) -> None:
        """`door` is the door's own name, `http` or `kafka`; `agencies` are the convention's codes."""
        self._door = door
        self._agencies = frozenset(agencies)
        self._receipts = _counter(registry, "migex_receipts_total")
        self._refusals = _counter(registry, "migex_refusals_total")
        self._delay = _histogram(registry, "migex_event_delay_seconds")
        self._batch = _histogram(registry, "migex_door_batch_seconds").labels(self._door)
        self._ack = _histogram(registry, "migex_inbox_ack_seconds").labels(self._door)
        for agency in self._agencies:  # from zero on, or else Prometheus cannot see the first increase
            for told in ANSWERS:
                self._receipts.labels(self._door, agency, told)

    def answered(self, agency: str, answer: str, count: int = 1) -> None:
        """Count deliveries that got this answer (`ANSWERS`)."""
        self._receipts.labels(self._door, _closed(agency, self._agencies), _closed(answer, ANSWERS)).inc(count)

    def refused(self, agency: str, code: str) -> None:
        """Count one reason of a refusal; `code` comes from our own admission, never from the sender."""
        self._refusals.labels(self._door, _closed(agency, self._agencies), code).inc()

    def delayed(self, agency: str, seconds: float) -> None:
        """Note the time from `occurred_at` to `accepted_at` of one accepted event."""
        self._delay.labels(_closed(agency, self._agencies)).observe(seconds)

    def batch_took(self, seconds: float) -> None:
        """Note the time from a batch's arrival to its answer."""
        self._batch.observe(seconds)

    def inbox_acked(self, seconds: float) -> None:
        """Note the time that Kafka took to acknowledge a frame."""
        self._ack.observe(seconds)


class OutboxTelemetry:
    """What the poller of an agency's outbox says."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Everything begins with zero."""
        self._rows = _gauge(registry, "migex_agency_outbox_rows")
        self._missing = _gauge(registry, "migex_agency_outbox_missing")
        self._oldest = _gauge(registry, "migex_agency_outbox_oldest_seconds")
        self._answers = _counter(registry, "migex_agency_outbox_answers_total")
        self._failures = _counter(registry, "migex_agency_outbox_failures_total")
        for told in ANSWERS:
            self._answers.labels(told)

    def rows(self, counts: Mapping[str, int]) -> None:
        """Show how many rows are `waiting`, `claimed` and `aside`."""
        for state, count in counts.items():
            self._rows.labels(state).set(count)

    def missing(self, counts: Mapping[str, int]) -> None:
        """Show how many numbers are missing, `open` and `void`."""
        for state, count in counts.items():
            self._missing.labels(state).set(count)

    def oldest(self, seconds: float) -> None:
        """Show the age of the oldest row that is not sent."""
        self._oldest.set(seconds)

    def answered(self, answers: Sequence[str]) -> None:
        """Count what the gateway answered."""
        for answer in answers:
            self._answers.labels(_closed(answer, ANSWERS)).inc()

    def failed(self) -> None:
        """Count a request without an answer."""
        self._failures.inc()


class FileTelemetry:
    """What the file door says besides, of files."""

    def __init__(self, registry: CollectorRegistry, agencies: Collection[str]) -> None:
        """`agencies` are the convention's codes."""
        self._waiting = _gauge(registry, "migex_files_waiting")
        self._files = _counter(registry, "migex_files_total")
        for agency in agencies:  # from zero on, or else Prometheus cannot see the first increase
            for outcome in OUTCOMES:
                self._files.labels(agency, outcome)

    def waiting(self, agency: str, files: int) -> None:
        """Set how many files lie in an agency's folders."""
        self._waiting.labels(agency).set(files)

    def given_back(self, agency: str, outcome: str) -> None:
        """Count a file with its outcome (`OUTCOMES`)."""
        self._files.labels(agency, _closed(outcome, OUTCOMES)).inc()


class AgentTelemetry:
    """What one agent's process says: positions, lag, state, outcomes; aggregate also the books and the cut."""

    def __init__(
        self,
        registry: CollectorRegistry,
        agent: str,
        agencies: Collection[str],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`agent` is one of `AGENTS`, `agencies` the convention's codes, `now` seconds since 1970."""
        self._agent = _closed(agent, AGENTS)
        self._agencies = frozenset(agencies)
        self._now = now
        self._records = _counter(registry, "migex_records_total")
        self._fold = _histogram(registry, "migex_fold_seconds").labels(self._agent)
        self._applied = _gauge(registry, "migex_applied_offset")
        self._log_end = _gauge(registry, "migex_log_end_offset")
        self._lag_frames = _gauge(registry, "migex_lag_frames")
        self._lag_seconds = _gauge(registry, "migex_lag_seconds").labels(self._agent)
        self._parked = _gauge(registry, "migex_parked_frames")
        self._outbox = _gauge(registry, "migex_outbox_frames").labels(self._agent)
        self._state = _gauge(registry, "migex_state_bytes").labels(self._agent)
        self._waiting = _gauge(registry, "migex_states_waiting").labels(self._agent)
        self._checkpoint_age = _gauge(registry, "migex_checkpoint_age_seconds")
        self._damaged = _counter(registry, "migex_checkpoints_damaged_total").labels(self._agent)
        self._states_damaged = _counter(registry, "migex_states_damaged_total").labels(self._agent)
        self._state_ahead = _gauge(registry, "migex_state_ahead")
        self._quarantined = _counter(registry, "migex_quarantined_total")
        for agency in (*self._agencies, OTHER):  # from zero on, or else Prometheus cannot see the first increase
            self._quarantined.labels(self._agent, agency)
        if (
            agent == "aggregate"
        ):  # only it knows cuts; elsewhere they would stand at zero and look like an age of decades
            self._books = _gauge(registry, "migex_books")
            self._cut = _gauge(registry, "migex_cut_timestamp_seconds")
            self._cut_age = _gauge(registry, "migex_cut_age_seconds")

    def folded(self, outcome: str, count: int = 1) -> None:
        """Count records with this outcome; the word comes from the fold."""
        self._records.labels(self._agent, outcome).inc(count)

    def fold_took(self, seconds: float) -> None:
        """Note the duration of one fold with its write."""
        self._fold.observe(seconds)

    def position(self, partition: int, applied: int, log_end: int) -> None:
        """Set the offset of the last message applied, -1 before the first, and the partition's end: the next offset."""
        label = str(partition)
        self._applied.labels(self._agent, label).set(applied)
        self._log_end.labels(self._agent, label).set(log_end)
        self._lag_frames.labels(self._agent, label).set(max(0, log_end - applied - 1))

    def newest(self, accepted_at: int) -> None:
        """Set the lag from the newest record folded; `accepted_at` in milliseconds since 1970."""
        self._lag_seconds.set(max(0.0, self._now() - accepted_at / 1000))

    def parked(self, partition: int, frames: int) -> None:
        """Set the number of frames that wait for their predecessor."""
        self._parked.labels(self._agent, str(partition)).set(frames)

    def outbox(self, frames: int) -> None:
        """Set the number of outputs that Kafka has not acknowledged."""
        self._outbox.set(frames)

    def state(self, size: int) -> None:
        """Set the size of the state on disk, in bytes."""
        self._state.set(size)

    def waiting(self, partitions: int) -> None:
        """Set the number of partitions that are assigned and not open."""
        self._waiting.set(partitions)

    def checkpoint(self, partition: int, made_at: float) -> None:
        """Set the instant of the newest checkpoint, in seconds since 1970; its age goes on growing by itself."""
        self._checkpoint_age.labels(self._agent, str(partition)).set_function(lambda: self._now() - made_at)

    def damaged(self) -> None:
        """Count a checkpoint that was not what it said."""
        self._damaged.inc()

    def state_damaged(self) -> None:
        """Count a state that was found corrupt."""
        self._states_damaged.inc()

    def state_ahead(self, partition: int) -> None:
        """Say that a partition stands still, for its source ends before what was applied of it."""
        self._state_ahead.labels(self._agent, str(partition)).set(1)

    def quarantined(self, agency: str, count: int = 1) -> None:
        """Count records that the fold could not apply."""
        self._quarantined.labels(self._agent, _closed(agency, self._agencies)).inc(count)

    def released(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        gauges = (self._applied, self._log_end, self._lag_frames, self._parked, self._checkpoint_age, self._state_ahead)
        for gauge in gauges:
            gauge.remove(self._agent, str(partition))

    def books(self, agency: str, family: str, entry: str, count: int) -> None:
        """Set one entry of the books as it stands at the cut (aggregate only)."""
        self._books.labels(_closed(agency, self._agencies), family, entry).set(count)

    def cut(self, tick: int) -> None:
        """Set the last complete cut, in seconds since 1970; its age goes on growing by itself (aggregate only)."""
        self._cut.set(tick)
        self._cut_age.set_function(lambda: self._now() - tick)


class ClockTelemetry:
    """What the clock says."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ticks = _counter(registry, "migex_ticks_total")
        self._tick = _gauge(registry, "migex_tick_timestamp_seconds")
        self._ahead = _gauge(registry, "migex_clock_ahead_seconds")

    def ticked(self, tick: int) -> None:
        """Note a tick, in seconds since 1970, that all inbox partitions have."""
        self._ticks.inc()
        self._tick.set(tick)

    def ahead(self, seconds: float) -> None:
        """Set how far this host's time is ahead of the broker's."""
        self._ahead.set(seconds)


class FeedTelemetry:
    """What the feed's server says."""

    def __init__(self, registry: CollectorRegistry, tables: Collection[str]) -> None:
        """`tables` are the convention's ids."""
        self._tables = frozenset(tables)
        self._requests = _counter(registry, "migex_feed_requests_total")
        self._seconds = _histogram(registry, "migex_feed_seconds")

    def answered(self, table: str, fmt: str, status: int, seconds: float) -> None:
        """Note one answer: the table asked for, its format, the HTTP status, the time taken."""
        name = _closed(table, self._tables)
        self._requests.labels(name, _closed(fmt, FORMATS), str(status)).inc()
        self._seconds.labels(name).observe(seconds)


def _closed(value: str, allowed: Collection[str]) -> str:
    return value if value in allowed else OTHER


def _counter(registry: CollectorRegistry, name: str) -> Counter:
    metric = METRICS[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _gauge(registry: CollectorRegistry, name: str) -> Gauge:
    metric = METRICS[name]
    return Gauge(name, metric.help, metric.labels, registry=registry)


def _histogram(registry: CollectorRegistry, name: str) -> Histogram:
    metric = METRICS[name]
    return Histogram(name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
