-- Points of the substations and the telemetry they send.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE point (
    id       int4 PRIMARY KEY,
    name     text NOT NULL UNIQUE,
    station  text NOT NULL,
    bay      text NOT NULL,
    kind     text NOT NULL,
    unit     text NOT NULL,
    title_vi text NOT NULL,
    title_en text NOT NULL
);
COMMENT ON TABLE point IS 'Information objects, as the station files name them; ids are written in those files.';

-- Wide columns first: 24 B of data in a 48 B row, no padding.
CREATE TABLE sample (
    time    timestamptz NOT NULL,
    value   float8      NOT NULL,
    point   int4        NOT NULL,
    quality int2        NOT NULL,
    cause   int2        NOT NULL,
    -- NaN sorts above infinity, so one comparison refuses both.
    CONSTRAINT sample_value_is_finite CHECK (value > '-infinity' AND value < 'infinity'),
    CONSTRAINT sample_time_is_plausible CHECK (time >= '2000-01-01 00:00+00' AND time < '2100-01-01 00:00+00'),
    CONSTRAINT sample_point_is_positive CHECK (point > 0)
);
COMMENT ON TABLE sample IS 'Telemetry by exception; quality is the IEC 60870-5 octet, cause its cause of transmission.';
SELECT create_hypertable('sample', by_range('time', INTERVAL '1 day'), create_default_indexes => false);

-- The only question asked of telemetry is one point's course, so the point leads. No unique key: two
-- samples of one point may carry the same time tag, and exactly-once is the business of sample_batch.
CREATE INDEX sample_point_time ON sample (point, time DESC);

CREATE TABLE sample_batch (
    source     text        NOT NULL,
    sequence   int8        NOT NULL,
    rows       int4        NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, sequence)
);
COMMENT ON TABLE sample_batch IS 'Batches of telemetry that are stored; written in the same transaction as their rows.';
