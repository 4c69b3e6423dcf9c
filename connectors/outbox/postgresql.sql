-- The outbox of an agency in PostgreSQL 12 or newer (migex outbox sql --dialect postgresql).
--
-- An application inserts family and event in the same transaction as what the event reports:
--     INSERT INTO migex_outbox (family, event) VALUES ('border.crossing', '{"header": …, "person": …, "event": …}');
-- Everything else belongs to the poller (migex outbox run). Rows with a verdict may be deleted at any time, others
-- never; a row is not changed: a correction is another row with the next revision.

CREATE TABLE migex_outbox (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    family     text NOT NULL,
    event      jsonb NOT NULL,
    record_no  text GENERATED ALWAYS AS (event #>> '{header,record_no}') STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    batch      text,                             -- the request in which it is sent, its Idempotency-Key
    claimed_at timestamptz,                      -- when it was put into that request
    attempts   integer NOT NULL DEFAULT 0,       -- how often it was put into one
    retry_at   timestamptz,                      -- set aside until then: the gateway failed on this row alone
    sent_at    timestamptz,                      -- when the gateway had answered
    answer     text,                             -- accepted, refused
    verdict    jsonb                             -- the gateway's answer: receipt, or reasons by field
);
CREATE INDEX migex_outbox_waiting ON migex_outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX migex_outbox_claimed ON migex_outbox (batch) WHERE sent_at IS NULL AND batch IS NOT NULL;
CREATE INDEX migex_outbox_records ON migex_outbox (family, record_no, seq) WHERE sent_at IS NULL;

-- Numbers that are missing: of a transaction that was rolled back, or of one that commits late. No row depends on it.
CREATE TABLE migex_outbox_gap (
    last_seq   bigint PRIMARY KEY,
    first_seq  bigint NOT NULL,
    noticed_at timestamptz NOT NULL,
    horizon    bigint,                           -- every transaction that may still fill it is older than this one
    late       bigint NOT NULL DEFAULT 0         -- how many of its numbers came after all
);

CREATE TABLE migex_outbox_poller (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    highest    bigint NOT NULL DEFAULT 0,        -- gaps are noticed up to this number
    answered_at timestamptz,                    -- when the gateway last answered
    error      text,                             -- why it did not, since then
    error_at   timestamptz
);
INSERT INTO migex_outbox_poller DEFAULT VALUES;

-- Wakes the poller at each commit; without it the poller looks every few seconds.
CREATE FUNCTION migex_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('migex_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER migex_outbox_inserted AFTER INSERT ON migex_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION migex_outbox_notify();

-- Least rights: applications  GRANT INSERT (family, event) ON migex_outbox TO …;
--               the poller    GRANT SELECT, UPDATE ON migex_outbox, migex_outbox_poller TO …;
--                             GRANT SELECT, INSERT, UPDATE, DELETE ON migex_outbox_gap TO …;
