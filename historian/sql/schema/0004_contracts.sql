-- Electronic supply contracts: what happened to each request, and which contract holds for which metering point when.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE SEQUENCE contract_number;

CREATE TABLE contract_event (
    request         text        NOT NULL CHECK (request <> ''),
    sequence        int4        NOT NULL CHECK (sequence > 0),
    time            timestamptz NOT NULL,
    actor           text        NOT NULL,
    action          text        NOT NULL,
    document_sha256 text        NOT NULL CHECK (document_sha256 ~ '^([0-9a-f]{64})?$'),
    details         jsonb       NOT NULL,
    known_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (request, sequence)
);
COMMENT ON TABLE contract_event IS 'Never changed, never deleted; who comes second with a sequence number was too late.';
CREATE INDEX contract_event_time ON contract_event (time);

CREATE TABLE contract (
    request         text        PRIMARY KEY,
    kind            text        NOT NULL,
    state           text        NOT NULL,
    customer        text        NOT NULL,
    identity        text        NOT NULL,
    metering_point  text        NOT NULL,
    tariff_class    text        NOT NULL,
    meter_serial    int8,
    start_registers jsonb       NOT NULL,
    valid_from      timestamptz,
    valid_to        timestamptz CHECK (valid_to >= valid_from),
    predecessor     text        NOT NULL,
    waiting         text        NOT NULL,
    applied_at      timestamptz NOT NULL,
    CONSTRAINT contract_point_has_one_at_a_time EXCLUDE USING gist
        (metering_point WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE (valid_from IS NOT NULL)
);
COMMENT ON TABLE contract IS 'A request as of its last event; holds in [valid_from, valid_to), without end while valid_to is null.';
CREATE INDEX contract_state ON contract (state);
