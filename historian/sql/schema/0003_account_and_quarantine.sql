-- What became of everything the head-end received.
CREATE TABLE ingest_account (
    worker        text        NOT NULL,
    run           uuid        NOT NULL,
    kind          text        NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    written_at    timestamptz NOT NULL DEFAULT now(),
    last_sequence int8        NOT NULL,
    received      int8        NOT NULL,
    stored        int8        NOT NULL,
    revised       int8        NOT NULL,
    duplicate     int8        NOT NULL,
    rejected      int8        NOT NULL,
    PRIMARY KEY (worker, run, kind),
    CONSTRAINT ingest_account_balances CHECK (received = stored + revised + duplicate + rejected)
);
COMMENT ON TABLE ingest_account IS 'Readings and meter events per run of a worker; updated in the transaction that stores them.';
COMMENT ON COLUMN ingest_account.last_sequence IS 'Last committed transaction of the run: settles a commit whose answer was lost.';

CREATE TABLE ingest_rejection (
    worker   text NOT NULL,
    run      uuid NOT NULL,
    kind     text NOT NULL,
    reason   text NOT NULL,
    rejected int8 NOT NULL,
    PRIMARY KEY (worker, run, kind, reason)
);
COMMENT ON TABLE ingest_rejection IS 'The rejected rows of ingest_account by reason.';

CREATE TABLE quarantine (
    id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    topic       text        NOT NULL,
    reason      text        NOT NULL,
    rejected    int4        NOT NULL,
    size        int4        NOT NULL,
    payload     bytea       NOT NULL
);
COMMENT ON TABLE quarantine IS 'The newest rejected messages and refused rows, kept to look at; ingest_rejection counts all.';
