-- The sequence of events, what is known of telemetry by minute and by hour, and what operators substituted or blocked.

CREATE TABLE status_event (
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    id          int8        NOT NULL GENERATED ALWAYS AS IDENTITY,
    value       float8      NOT NULL,
    point       int4        NOT NULL,
    quality     int2        NOT NULL,
    cause       int2        NOT NULL,
    CONSTRAINT status_event_value_is_finite CHECK (value > '-infinity' AND value < 'infinity'),
    CONSTRAINT status_event_time_is_plausible CHECK (time >= '2000-01-01 00:00+00' AND time < '2100-01-01 00:00+00'),
    CONSTRAINT status_event_point_is_positive CHECK (point > 0)
);
COMMENT ON TABLE status_event IS
    'Changes of single and double points; time is the source''s, received_at that of the control centre.';
SELECT create_hypertable('status_event', by_range('time', INTERVAL '7 days'), create_default_indexes => false);
-- id is the order of arrival: it decides between events of one source time. No key is unique, because one contact may
-- change several times in the resolution of its clock; exactly-once is the business of status_event_batch.
CREATE INDEX status_event_order ON status_event (time, id);
CREATE INDEX status_event_point_time ON status_event (point, time DESC);

CREATE TABLE status_event_batch (
    source     text        NOT NULL,
    sequence   int8        NOT NULL,
    rows       int4        NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, sequence)
);
COMMENT ON TABLE status_event_batch IS 'Batches of events that are stored; written in the transaction of their rows.';

-- Rows of telemetry lie on the disk in the order of their arrival, so one entry per 128 pages finds a minute of all points.
CREATE INDEX sample_time ON sample USING brin (time);

-- NULL is a bucket without a valid value; valid_s are the seconds in which the value in force was valid.
CREATE TABLE sample_minute (
    time          timestamptz NOT NULL,
    valid_s       float8      NOT NULL,
    minimum       float8,
    maximum       float8,
    mean          float8,
    weighted_mean float8,
    last          float8      NOT NULL,
    point         int4        NOT NULL,
    count         int4        NOT NULL,
    valid         int4        NOT NULL,
    last_quality  int2        NOT NULL,
    quality       int2        NOT NULL
);
COMMENT ON TABLE sample_minute IS 'Telemetry by minute, of the minutes in which a point was reported; time is the start.';
SELECT create_hypertable('sample_minute', by_range('time', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX sample_minute_point_time ON sample_minute (point, time DESC);
CREATE INDEX sample_minute_time ON sample_minute USING brin (time);

CREATE TABLE sample_hour (LIKE sample_minute INCLUDING COMMENTS);
COMMENT ON TABLE sample_hour IS 'Telemetry by hour, of the hours in which a point was reported; time is the start.';
SELECT create_hypertable('sample_hour', by_range('time', INTERVAL '90 days'), create_default_indexes => false);
CREATE UNIQUE INDEX sample_hour_point_time ON sample_hour (point, time DESC);
CREATE INDEX sample_hour_time ON sample_hour USING brin (time);

-- Appended by the transaction that stores the rows and taken by the one that aggregates them: nobody waits for anybody.
CREATE TABLE rollup_due (
    level  text        NOT NULL CHECK (level IN ('minute', 'hour')),
    bucket timestamptz NOT NULL
);
COMMENT ON TABLE rollup_due IS 'Minutes and hours whose telemetry changed since they were last aggregated.';
CREATE INDEX rollup_due_bucket ON rollup_due (level, bucket);
INSERT INTO rollup_due SELECT DISTINCT 'minute', time_bucket('1 minute', time) FROM sample;

CREATE TABLE point_override (
    id         uuid        PRIMARY KEY,
    time       timestamptz NOT NULL,
    point      int4        NOT NULL,
    action     text        NOT NULL CHECK (action IN ('substitute', 'block', 'release', 'expire')),
    value      float8,
    originator text        NOT NULL,
    why        text        NOT NULL,
    until      timestamptz
);
COMMENT ON TABLE point_override IS 'What was substituted, blocked and released, by whom, why and until when.';
CREATE INDEX point_override_point_time ON point_override (point, time DESC);
