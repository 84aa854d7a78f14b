-- The gap ledger: what of the load profiles is missing, and what becomes of it.
CREATE TABLE gap (
    id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter       int4        NOT NULL REFERENCES meter (id),
    first_end   timestamptz NOT NULL,
    last_end    timestamptz NOT NULL CHECK (last_end >= first_end),
    period_s    int4        NOT NULL CHECK (period_s > 0),
    state       int2        NOT NULL CHECK (state BETWEEN 1 AND 5),
    cause       int2        NOT NULL CHECK (cause BETWEEN 1 AND 3),
    attempts    int2        NOT NULL,
    next_try    timestamptz NOT NULL,
    detected_at timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gap IS 'Runs of missing intervals, cut where their fates part; recovered ones stay to tell what happened.';
COMMENT ON COLUMN gap.state IS '1 missing, 2 requested, 3 recovered, 4 no data, 5 permanent';
COMMENT ON COLUMN gap.cause IS '1 meter silent, 2 concentrator silent, 3 supply lost';
COMMENT ON COLUMN gap.next_try IS 'Missing: ask again then; requested: give up waiting then.';
CREATE UNIQUE INDEX gap_meter ON gap (meter, period_s, first_end);
CREATE INDEX gap_open ON gap (state, next_try) WHERE state <> 3;

CREATE TABLE gap_watch (
    period_s      int4        NOT NULL PRIMARY KEY,
    watched_since timestamptz NOT NULL,
    checked_until timestamptz NOT NULL,
    scanned_at    timestamptz NOT NULL
);
COMMENT ON TABLE gap_watch IS 'Up to where intervals were checked. What is older than watched_since is nobody''s debt.';

-- A meter entered late in the list owes what it measured since it was installed.
ALTER TABLE meter ADD COLUMN registered_at timestamptz NOT NULL DEFAULT now();

CREATE TABLE meter_request (
    id           int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text        NOT NULL,
    priority     int2        NOT NULL,
    meter        int4        NOT NULL REFERENCES meter (id),
    parameters   jsonb       NOT NULL,
    requested_by text        NOT NULL CHECK (requested_by <> ''),
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    taken_at     timestamptz,
    ended_at     timestamptz,
    ending       text        CHECK (ending IN ('done', 'refused', 'unknown')),
    why          text        NOT NULL DEFAULT '',
    answer       jsonb,
    CONSTRAINT meter_request_ends_once CHECK ((ending IS NULL) = (ended_at IS NULL))
);
COMMENT ON TABLE meter_request IS 'What was asked of meters by whom, and how it ended; gap requests are in the ledger only.';
CREATE INDEX meter_request_open ON meter_request (priority, id) WHERE ended_at IS NULL;
CREATE INDEX meter_request_meter ON meter_request (meter, requested_at);
