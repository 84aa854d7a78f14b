-- What a model of meter is like, the two parts of a multiplier, and the tariff programme a meter runs.
CREATE TABLE meter_model (
    code             text PRIMARY KEY CHECK (code <> ''),
    digits           int2 NOT NULL CHECK (digits BETWEEN 1 AND 15),
    wrap_kwh         int8 NOT NULL CHECK (wrap_kwh > 0),
    capture_period_s int4 NOT NULL CHECK (capture_period_s BETWEEN 1 AND 86400),
    rates            jsonb NOT NULL,
    listed_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN meter_model.wrap_kwh IS 'Where the register begins again at 0; 10^digits unless the model says otherwise.';
COMMENT ON COLUMN meter_model.rates IS 'Which register is which rate: by OBIS code.';

ALTER TABLE meter ADD COLUMN ct int4 CHECK (ct > 0);
ALTER TABLE meter ADD COLUMN vt int4 CHECK (vt > 0);
ALTER TABLE meter ADD CONSTRAINT meter_multiplier_is_ct_times_vt CHECK (ct::int8 * vt = multiplier);
COMMENT ON COLUMN meter.ct IS 'Ratio of the current transformers; with vt null when only their product is known.';

CREATE TABLE meter_programme (
    meter    int4        NOT NULL REFERENCES meter (id),
    since    timestamptz NOT NULL,
    schedule text        NOT NULL CHECK (schedule <> ''),
    PRIMARY KEY (meter, since)
);
COMMENT ON TABLE meter_programme IS 'Which tariff schedule is programmed in a meter, from when; the last row before a time holds.';
