-- An agency's own register in PostgreSQL, whose triggers write each crossing, correction and withdrawal into the outbox,
-- in the same transaction: what is rolled back is never reported, what is committed always is.
--     migex outbox sql --dialect postgresql | psql register
--     psql register -f examples/outbox/postgresql.sql
--     MIGEX_OUTBOX__DATABASE=postgresql://localhost/register MIGEX_OUTBOX__KEY_FILE=gpk.key migex outbox run

CREATE TABLE crossing (
    number      text PRIMARY KEY,
    revision    integer NOT NULL DEFAULT 1,
    happened_at timestamptz NOT NULL,
    direction   text NOT NULL,
    checkpoint  text NOT NULL,
    section     text NOT NULL,                  -- the neighbour, or AIR
    mode        text NOT NULL,
    purpose     text,
    surname     text NOT NULL,
    given_names text,
    born        date NOT NULL,
    sex         integer NOT NULL,               -- 1 male, 2 female, 0 not known (ISO 5218)
    citizenship text NOT NULL,                  -- ISO 3166-1 alpha-3
    document    text NOT NULL
);

CREATE FUNCTION report_crossing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    this crossing := CASE WHEN TG_OP = 'DELETE' THEN old ELSE new END;
    header jsonb;
BEGIN
    header := jsonb_build_object(
        'record_no', this.number,
        'revision', this.revision + CASE WHEN TG_OP = 'DELETE' THEN 1 ELSE 0 END,
        'op', CASE TG_OP WHEN 'INSERT' THEN 'CREATE' WHEN 'UPDATE' THEN 'CORRECT' ELSE 'CANCEL' END,
        'recorded_at', date_trunc('second', now()));
    IF TG_OP = 'DELETE' THEN
        INSERT INTO migex_outbox (family, event) VALUES ('border.crossing', jsonb_build_object('header', header));
        RETURN old;
    END IF;
    INSERT INTO migex_outbox (family, event) VALUES ('border.crossing', jsonb_build_object(
        'header', header || jsonb_build_object('occurred_at', this.happened_at),
        'person', jsonb_build_object(
            'surname', this.surname, 'given_names', this.given_names, 'birth_date', this.born, 'sex', this.sex,
            'citizenship', jsonb_build_array(this.citizenship),
            'document', jsonb_build_object('type', 'P', 'issuer', this.citizenship, 'number', this.document)),
        'event', jsonb_build_object(
            'direction', this.direction, 'checkpoint', this.checkpoint, 'section', this.section,
            'mode', this.mode, 'purpose', this.purpose, 'result', 'PASSED')));
    RETURN new;
END $$;
CREATE TRIGGER crossing_reported AFTER INSERT OR UPDATE OR DELETE ON crossing
    FOR EACH ROW EXECUTE FUNCTION report_crossing();

INSERT INTO crossing VALUES
    ('OUT-1', 1, '2018-03-01 10:15+03', 'IN', 'BREST-TERESPOL', 'PL', 'ROAD', 'WORK', 'KARIMOV', 'JASUR', '1980-05-17',
     1, 'UZB', 'AB1234567'),
    ('OUT-2', 1, '2018-03-01 10:20+03', 'IN', 'BREST-TERESPOL', 'PL', 'ROAD', 'WORK', 'SAIDOVA', 'MADINA', '1985-02-03',
     2, 'UZB', 'AB7654321');
UPDATE crossing SET revision = 2, purpose = 'STUDY' WHERE number = 'OUT-1';
DELETE FROM crossing WHERE number = 'OUT-2';

-- later: what became of it
SELECT seq, record_no, answer, verdict -> 'errors' AS errors FROM migex_outbox ORDER BY seq;
