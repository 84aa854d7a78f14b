-- Every statement the system sends, by name.

-- name: upsert_points
-- Points of the station files by id; a changed title or unit replaces the old one.
INSERT INTO point (id, name, station, bay, kind, unit, title_vi, title_en)
VALUES (%(id)s, %(name)s, %(station)s, %(bay)s, %(kind)s, %(unit)s, %(title_vi)s, %(title_en)s)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, station = excluded.station, bay = excluded.bay, kind = excluded.kind,
    unit = excluded.unit, title_vi = excluded.title_vi, title_en = excluded.title_en
WHERE (point.name, point.station, point.bay, point.kind, point.unit, point.title_vi, point.title_en)
    IS DISTINCT FROM
    (excluded.name, excluded.station, excluded.bay, excluded.kind, excluded.unit, excluded.title_vi, excluded.title_en);

-- name: insert_sample_batch
-- Claims a batch of telemetry; no row when it is stored already. Waits for a transaction that is about to store it.
INSERT INTO sample_batch (source, sequence, rows) VALUES (%(source)s, %(sequence)s, %(rows)s)
ON CONFLICT (source, sequence) DO NOTHING;

-- name: copy_samples
-- Telemetry in, columns as in SAMPLE_COPY.
COPY sample (time, value, point, quality, cause) FROM STDIN (FORMAT binary);

-- name: copy_readings
-- Readings that are very likely new, columns as in READING_COPY.
COPY reading (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method)
FROM STDIN (FORMAT binary);

-- name: create_arrivals
-- The staging table of one session, emptied by every commit.
CREATE TEMPORARY TABLE IF NOT EXISTS reading_arrival (
    time timestamptz NOT NULL, import_wh int8 NOT NULL, export_wh int8 NOT NULL, import_varh int8 NOT NULL,
    meter int4 NOT NULL, power_w int4 NOT NULL, voltage_dv int2 NOT NULL, status int2 NOT NULL,
    flag int2 NOT NULL, method int2 NOT NULL, first "char" NOT NULL
) ON COMMIT DELETE ROWS;

-- name: copy_arrivals
-- Readings that may be known already, columns as in ARRIVAL_COPY.
COPY reading_arrival (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method, first)
FROM STDIN (FORMAT binary);

-- name: insert_first_arrivals
-- Stores the arrivals whose key is new; sorted, so that two workers with the same rows lock in the same order.
INSERT INTO reading (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method)
SELECT time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method
FROM reading_arrival WHERE first = E'\x01' ORDER BY time, meter
ON CONFLICT (time, meter) DO NOTHING;

-- name: insert_revisions
-- Stores the arrivals that differ from the stored value of their key and from every known revision.
-- LIMIT keeps the lookup a nested loop over the key: the planner knows nothing of a staging table's size.
INSERT INTO reading_revision
    (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method, source)
SELECT a.time, a.import_wh, a.export_wh, a.import_varh, a.meter, a.power_w, a.voltage_dv, a.status, a.flag, a.method,
    %(source)s
FROM reading_arrival a CROSS JOIN LATERAL (
    SELECT * FROM reading r
    WHERE r.time = a.time AND r.meter = a.meter AND r.time BETWEEN %(earliest)s AND %(latest)s LIMIT 1
) r
WHERE (a.import_wh, a.export_wh, a.import_varh, a.power_w, a.voltage_dv, a.status, a.flag, a.method)
    IS DISTINCT FROM
    (r.import_wh, r.export_wh, r.import_varh, r.power_w, r.voltage_dv, r.status, r.flag, r.method)
ORDER BY a.time, a.meter
ON CONFLICT DO NOTHING;

-- name: create_event_arrivals
-- The staging table of one session for meter events, emptied by every commit.
CREATE TEMPORARY TABLE IF NOT EXISTS meter_event_arrival (
    time timestamptz NOT NULL, meter int4 NOT NULL, code int2 NOT NULL
) ON COMMIT DELETE ROWS;

-- name: copy_event_arrivals
-- Meter events in, columns as in METER_EVENT_COPY.
COPY meter_event_arrival (time, meter, code) FROM STDIN (FORMAT binary);

-- name: insert_event_arrivals
-- Stores the events that are not there yet.
INSERT INTO meter_event (time, meter, code)
SELECT time, meter, code FROM meter_event_arrival ORDER BY meter, time, code
ON CONFLICT (meter, time, code) DO NOTHING;

-- name: last_committed
-- The last transaction of this run that was committed; waits for one whose commit is still under way.
SELECT last_sequence FROM ingest_account WHERE worker = %(worker)s AND run = %(run)s AND kind = %(kind)s FOR UPDATE;

-- name: add_to_account
-- Books one transaction of this run.
INSERT INTO ingest_account (worker, run, kind, last_sequence, received, stored, revised, duplicate, rejected)
VALUES
    (%(worker)s, %(run)s, %(kind)s, %(sequence)s, %(received)s, %(stored)s, %(revised)s, %(duplicate)s, %(rejected)s)
ON CONFLICT (worker, run, kind) DO UPDATE SET
    written_at = now(),
    last_sequence = excluded.last_sequence,
    received = ingest_account.received + excluded.received,
    stored = ingest_account.stored + excluded.stored,
    revised = ingest_account.revised + excluded.revised,
    duplicate = ingest_account.duplicate + excluded.duplicate,
    rejected = ingest_account.rejected + excluded.rejected;

-- name: add_rejection
-- Books rejected rows by reason.
INSERT INTO ingest_rejection (worker, run, kind, reason, rejected)
VALUES (%(worker)s, %(run)s, %(kind)s, %(reason)s, %(rejected)s)
ON CONFLICT (worker, run, kind, reason) DO UPDATE SET rejected = ingest_rejection.rejected + excluded.rejected;

-- name: insert_quarantine
-- Keeps one rejected message.
INSERT INTO quarantine (received_at, topic, reason, rejected, size, payload)
VALUES (%(received_at)s, %(topic)s, %(reason)s, %(rejected)s, %(size)s, %(payload)s);

-- name: trim_quarantine
-- Lets the oldest messages beyond the limit go.
DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC OFFSET %(limit)s LIMIT 1);

-- name: registered_meters
-- Meters that are installed now.
SELECT id, serial, metering_point, feeder FROM meter WHERE removed_at IS NULL ORDER BY id;

-- name: lock_migrations
-- Lets one process migrate at a time; held until the session ends.
SELECT pg_advisory_lock(7021101);

-- name: create_schema_migration
-- The record of applied migrations.
CREATE TABLE IF NOT EXISTS schema_migration (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations
-- What this database has.
SELECT name, sha256 FROM schema_migration ORDER BY name;

-- name: record_migration
-- One more is applied.
INSERT INTO schema_migration (name, sha256) VALUES (%(name)s, %(sha256)s);
