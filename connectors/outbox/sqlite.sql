-- The outbox of an agency in SQLite 3.38 or newer (migex outbox sql --dialect sqlite).
--
-- An application inserts family and event in the same transaction as what the event reports:
--     INSERT INTO migex_outbox (family, event) VALUES ('border.crossing', '{"header": …, "person": …, "event": …}');
-- Everything else belongs to the poller (migex outbox run). Rows with a verdict may be deleted at any time, others
-- never; a row is not changed: a correction is another row with the next revision. Times are text, UTC, as ISO 8601 has them.

PRAGMA journal_mode = WAL;

CREATE TABLE migex_outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    family     TEXT NOT NULL,
    event      TEXT NOT NULL,
    record_no  TEXT GENERATED ALWAYS AS
               (CASE WHEN json_valid(event) THEN json_extract(event, '$.header.record_no') END) VIRTUAL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    batch      TEXT,                             -- the request in which it is sent, its Idempotency-Key
    claimed_at TEXT,                             -- when it was put into that request
    attempts   INTEGER NOT NULL DEFAULT 0,       -- how often it was put into one
    retry_at   TEXT,                             -- set aside until then: the gateway failed on this row alone
    sent_at    TEXT,                             -- when the gateway had answered
    answer     TEXT,                             -- accepted, refused
    verdict    TEXT                              -- the gateway's answer as JSON: receipt, or reasons by field
);
CREATE INDEX migex_outbox_waiting ON migex_outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX migex_outbox_claimed ON migex_outbox (batch) WHERE sent_at IS NULL AND batch IS NOT NULL;
CREATE INDEX migex_outbox_records ON migex_outbox (family, record_no, seq) WHERE sent_at IS NULL;

-- Numbers that are missing. SQLite has one writer and takes a number back with its transaction: the rows were deleted.
CREATE TABLE migex_outbox_gap (
    last_seq   INTEGER PRIMARY KEY,
    first_seq  INTEGER NOT NULL,
    noticed_at TEXT NOT NULL,
    horizon    INTEGER,
    late       INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE migex_outbox_poller (
    one         INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    highest     INTEGER NOT NULL DEFAULT 0,      -- gaps are noticed up to this number
    answered_at TEXT,                            -- when the gateway last answered
    error       TEXT,                            -- why it did not, since then
    error_at    TEXT
);
INSERT INTO migex_outbox_poller DEFAULT VALUES;
