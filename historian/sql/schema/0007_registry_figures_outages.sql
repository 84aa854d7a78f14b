-- Depth of the registry, figures of collection, snapshots of registers and outages.
ALTER TABLE meter ADD COLUMN transformer     text  NOT NULL DEFAULT '';
ALTER TABLE meter ADD COLUMN model           text  NOT NULL DEFAULT '';
ALTER TABLE meter ADD COLUMN start_registers jsonb NOT NULL DEFAULT '{}';
ALTER TABLE meter ADD COLUMN end_registers   jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN meter.transformer IS 'Distribution transformer that supplies it; empty when unknown. Outages are grouped by it.';
COMMENT ON COLUMN meter.start_registers IS 'By OBIS code, Wh or varh, as read when it was installed.';
COMMENT ON COLUMN meter.end_registers IS 'The same when it was removed.';
CREATE INDEX meter_serial_history ON meter (serial, installed_at);
CREATE INDEX meter_point_history ON meter (metering_point, installed_at);

CREATE TABLE customer_point (
    metering_point text PRIMARY KEY,
    unit           text NOT NULL,
    class          text NOT NULL,
    listed_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE customer_point IS 'Metering points as the customer system lists them: what the head-end is measured against.';

CREATE TABLE register (
    time     timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL DEFAULT now(),
    value    int8 NOT NULL CHECK (value >= 0),
    meter    int4 NOT NULL CHECK (meter > 0),
    obis     int2 NOT NULL,
    status   int2 NOT NULL,
    flag     int2 NOT NULL,
    method   int2 NOT NULL
);
COMMENT ON TABLE register IS 'Registers at a boundary (midnight, month end, price change): what a bill is made of.';
COMMENT ON COLUMN register.time IS 'The boundary.';
COMMENT ON COLUMN register.taken_at IS 'When the meter counted this; the same as time when exact.';
SELECT create_hypertable('register', by_range('time', INTERVAL '30 days'), create_default_indexes => false);
ALTER TABLE register ADD CONSTRAINT register_key PRIMARY KEY (time, meter, obis);

CREATE TABLE outage (
    id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feeder      text        NOT NULL,
    transformer text        NOT NULL,
    began       timestamptz NOT NULL,
    restored    timestamptz CHECK (restored >= began),
    meters      int4        NOT NULL CHECK (meters > 0),
    still_out   int4        NOT NULL CHECK (still_out BETWEEN 0 AND meters),
    known_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE outage IS 'Power failures and last gasps of meters, grouped: of one transformer, or of a whole feeder (transformer empty).';
CREATE INDEX outage_began ON outage (began);
