-- An agency's own register in SQLite, whose triggers write each crossing, correction and withdrawal into the outbox,
-- in the same transaction: what is rolled back is never reported, what is committed always is.
--     migex outbox sql --dialect sqlite | sqlite3 register.db
--     sqlite3 register.db < examples/outbox/sqlite.sql
--     MIGEX_OUTBOX__DATABASE=sqlite:///register.db MIGEX_OUTBOX__KEY_FILE=gpk.key migex outbox run

CREATE TABLE crossing (
    number      TEXT PRIMARY KEY,
    revision    INTEGER NOT NULL DEFAULT 1,
    happened_at TEXT NOT NULL,                  -- ISO 8601 with its offset from UTC
    direction   TEXT NOT NULL,
    checkpoint  TEXT NOT NULL,
    section     TEXT NOT NULL,                  -- the neighbour, or AIR
    mode        TEXT NOT NULL,
    purpose     TEXT,
    surname     TEXT NOT NULL,
    given_names TEXT,
    born        TEXT NOT NULL,
    sex         INTEGER NOT NULL,               -- 1 male, 2 female, 0 not known (ISO 5218)
    citizenship TEXT NOT NULL,                  -- ISO 3166-1 alpha-3
    document    TEXT NOT NULL
);

CREATE VIEW crossing_event AS
SELECT number,
       json_object('record_no', number, 'revision', revision, 'op', CASE revision WHEN 1 THEN 'CREATE' ELSE 'CORRECT' END,
                   'occurred_at', happened_at, 'recorded_at', strftime('%Y-%m-%dT%H:%M:%SZ', 'now')) AS header,
       json_object('surname', surname, 'given_names', given_names, 'birth_date', born, 'sex', sex,
                   'citizenship', json_array(citizenship),
                   'document', json_object('type', 'P', 'issuer', citizenship, 'number', document)) AS person,
       json_object('direction', direction, 'checkpoint', checkpoint, 'section', section, 'mode', mode,
                   'purpose', purpose, 'result', 'PASSED') AS event
FROM crossing;

CREATE TRIGGER crossing_reported AFTER INSERT ON crossing BEGIN
    INSERT INTO migex_outbox (family, event)
    SELECT 'border.crossing', json_object('header', json(header), 'person', json(person), 'event', json(event))
    FROM crossing_event WHERE number = new.number;
END;
CREATE TRIGGER crossing_corrected AFTER UPDATE ON crossing BEGIN
    INSERT INTO migex_outbox (family, event)
    SELECT 'border.crossing', json_object('header', json(header), 'person', json(person), 'event', json(event))
    FROM crossing_event WHERE number = new.number;
END;
CREATE TRIGGER crossing_withdrawn AFTER DELETE ON crossing BEGIN
    INSERT INTO migex_outbox (family, event) VALUES ('border.crossing', json_object('header', json_object(
        'record_no', old.number, 'revision', old.revision + 1, 'op', 'CANCEL',
        'recorded_at', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))));
END;

INSERT INTO crossing VALUES
    ('OUT-1', 1, '2018-03-01T10:15:00+03:00', 'IN', 'BREST-TERESPOL', 'PL', 'ROAD', 'WORK', 'KARIMOV', 'JASUR', '1980-05-17',
     1, 'UZB', 'AB1234567'),
    ('OUT-2', 1, '2018-03-01T10:20:00+03:00', 'IN', 'BREST-TERESPOL', 'PL', 'ROAD', 'WORK', 'SAIDOVA', 'MADINA', '1985-02-03',
     2, 'UZB', 'AB7654321');
UPDATE crossing SET revision = 2, purpose = 'STUDY' WHERE number = 'OUT-1';
DELETE FROM crossing WHERE number = 'OUT-2';

-- later: what became of it
SELECT seq, record_no, answer, json_extract(verdict, '$.errors') AS errors FROM migex_outbox ORDER BY seq;
