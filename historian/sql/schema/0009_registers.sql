-- Billing registers as meters say them, beside those this system takes from the load profile.
ALTER TABLE register ADD COLUMN kind int2 NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 5);
COMMENT ON COLUMN register.kind IS
    '0 snapshot from the load profile, else what the meter said: 1 daily, 2 month end, 3 price change, 4 exchange, 5 on demand';
ALTER TABLE register ADD CONSTRAINT register_time_is_plausible
    CHECK (time >= '2000-01-01 00:00+00' AND time < '2100-01-01 00:00+00');
ALTER TABLE register ADD CONSTRAINT register_was_taken_at_a_plausible_time
    CHECK (taken_at >= '2000-01-01 00:00+00' AND taken_at < '2100-01-01 00:00+00');
-- A midnight may be the end of a day and of a month; both statements are kept, and the snapshot beside them.
ALTER TABLE register DROP CONSTRAINT register_key;
ALTER TABLE register ADD CONSTRAINT register_key PRIMARY KEY (time, meter, obis, kind);

CREATE TABLE register_revision (
    id       int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time     timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL DEFAULT now(),
    value    int8 NOT NULL,
    meter    int4 NOT NULL,
    obis     int2 NOT NULL,
    kind     int2 NOT NULL,
    status   int2 NOT NULL,
    flag     int2 NOT NULL,
    method   int2 NOT NULL,
    source   text NOT NULL,
    CONSTRAINT register_revision_is_new UNIQUE (meter, time, obis, kind, value, taken_at, status, flag, method)
);
COMMENT ON TABLE register_revision IS 'Later, different values of a register; the one with the highest id is in force.';
