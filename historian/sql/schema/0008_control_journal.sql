-- The control desk's journal as it arrives from its files: another place where a later head is kept.

CREATE TABLE control_journal (
    segment     int4        NOT NULL,
    sequence    int4        NOT NULL,
    time        timestamptz NOT NULL,
    kind        text        NOT NULL,
    body        jsonb       NOT NULL,
    previous    text        NOT NULL,
    hash        text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (segment, sequence)
);
COMMENT ON TABLE control_journal IS 'Entries of the control desk''s hash chain, by tenure; the files are the original.';
CREATE INDEX control_journal_time ON control_journal (time);
