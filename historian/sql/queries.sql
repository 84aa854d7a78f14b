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

-- name: look_up_plainly
-- For the rest of the transaction: TimescaleDB's own append sorts out chunks anew at every lookup, 65 µs each time.
SET LOCAL timescaledb.enable_chunk_append = off;

-- name: insert_revisions
-- Stores the arrivals of a span that differ from the stored value of their key and from every known revision.
-- LIMIT keeps the lookup a nested loop over the key: the planner knows nothing of a staging table's size.
INSERT INTO reading_revision
    (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method, source)
SELECT a.time, a.import_wh, a.export_wh, a.import_varh, a.meter, a.power_w, a.voltage_dv, a.status, a.flag, a.method,
    %(source)s
FROM reading_arrival a CROSS JOIN LATERAL (
    SELECT * FROM reading r
    WHERE r.time = a.time AND r.meter = a.meter AND r.time BETWEEN %(earliest)s AND %(latest)s LIMIT 1
) r
WHERE a.time BETWEEN %(earliest)s AND %(latest)s AND (a.import_wh, a.export_wh, a.import_varh, a.power_w, a.voltage_dv, a.status, a.flag, a.method)
    IS DISTINCT FROM
    (r.import_wh, r.export_wh, r.import_varh, r.power_w, r.voltage_dv, r.status, r.flag, r.method)
ORDER BY a.time, a.meter
ON CONFLICT DO NOTHING;

-- name: create_register_arrivals
-- The staging table of one session for billing registers, emptied by every commit.
CREATE TEMPORARY TABLE IF NOT EXISTS register_arrival (
    time timestamptz NOT NULL, taken_at timestamptz NOT NULL, value int8 NOT NULL, meter int4 NOT NULL,
    obis int2 NOT NULL, kind int2 NOT NULL, status int2 NOT NULL, flag int2 NOT NULL, method int2 NOT NULL,
    first "char" NOT NULL
) ON COMMIT DELETE ROWS;

-- name: copy_register_arrivals
-- Billing registers in, columns as in REGISTER_ARRIVAL_COPY.
COPY register_arrival (time, taken_at, value, meter, obis, kind, status, flag, method, first)
FROM STDIN (FORMAT binary);

-- name: insert_first_registers
-- Stores the registers whose key is new; sorted as readings are.
INSERT INTO register (time, taken_at, value, meter, obis, kind, status, flag, method)
SELECT time, taken_at, value, meter, obis, kind, status, flag, method
FROM register_arrival WHERE first = E'\x01' ORDER BY time, meter, obis, kind
ON CONFLICT (time, meter, obis, kind) DO NOTHING;

-- name: insert_register_revisions
-- Stores the registers of a span that differ from the stored value of their key and from every known revision.
INSERT INTO register_revision (time, taken_at, value, meter, obis, kind, status, flag, method, source)
SELECT a.time, a.taken_at, a.value, a.meter, a.obis, a.kind, a.status, a.flag, a.method, %(source)s
FROM register_arrival a CROSS JOIN LATERAL (
    SELECT * FROM register r
    WHERE r.time = a.time AND r.meter = a.meter AND r.obis = a.obis AND r.kind = a.kind
        AND r.time BETWEEN %(earliest)s AND %(latest)s LIMIT 1
) r
WHERE a.time BETWEEN %(earliest)s AND %(latest)s
    AND (a.taken_at, a.value, a.status, a.flag, a.method) IS DISTINCT FROM (r.taken_at, r.value, r.status, r.flag, r.method)
ORDER BY a.time, a.meter, a.obis, a.kind
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
-- Meters that are installed now or were not long ago, with both times in µs and the length of interval of the model.
SELECT m.id, m.serial, m.metering_point, m.feeder, (extract(epoch FROM m.installed_at) * 1000000)::int8,
    coalesce((extract(epoch FROM m.removed_at) * 1000000)::int8, %(not_removed)s), coalesce(k.capture_period_s, 0)
FROM meter m LEFT JOIN meter_model k ON k.code = m.model
WHERE m.removed_at IS NULL OR m.removed_at > %(since)s ORDER BY m.id;

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

-- name: sample_in_force
-- The last sample of a point before an instant: what its value was at that instant.
COPY (
    SELECT time, value, point, quality, cause FROM sample
    WHERE point = %(point)s AND time < %(since)s ORDER BY time DESC LIMIT 1
) TO STDOUT (FORMAT binary);

-- name: samples_between
-- The samples of a point, oldest first.
COPY (
    SELECT time, value, point, quality, cause FROM sample
    WHERE point = %(point)s AND time >= %(since)s AND time < %(until)s ORDER BY time LIMIT %(limit)s
) TO STDOUT (FORMAT binary);

-- name: readings_between
-- The load profile of a meter as it was known at an instant: of each interval the value then in force.
COPY (
    SELECT DISTINCT ON (time)
        time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method
    FROM (
        SELECT 0 AS id, time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method
        FROM reading
        WHERE meter = %(meter)s AND time >= %(since)s AND time < %(until)s AND known_at <= %(as_of)s
        UNION ALL
        SELECT id, time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method
        FROM reading_revision
        WHERE meter = %(meter)s AND time >= %(since)s AND time < %(until)s AND known_at <= %(as_of)s
    ) known
    ORDER BY time, id DESC
) TO STDOUT (FORMAT binary);

-- name: count_rows
-- How much is stored; meters heard are those with a reading since an instant.
SELECT
    (SELECT count(*) FROM sample) AS samples,
    (SELECT count(*) FROM reading) AS readings,
    (SELECT count(*) FROM reading_revision) AS revisions,
    (SELECT count(*) FROM meter_event) AS meter_events,
    (SELECT count(*) FROM meter WHERE removed_at IS NULL) AS meters,
    (SELECT count(DISTINCT meter) FROM reading WHERE time >= %(heard_since)s) AS meters_heard;

-- name: sum_account
-- The account of one kind of rows over all runs.
SELECT
    coalesce(sum(stored), 0)::int8, coalesce(sum(revised), 0)::int8,
    coalesce(sum(duplicate), 0)::int8, coalesce(sum(received), 0)::int8
FROM ingest_account WHERE kind = %(kind)s;

-- name: sum_rejections
-- The rejected rows of one kind by reason over all runs.
SELECT reason, sum(rejected)::int8 FROM ingest_rejection WHERE kind = %(kind)s GROUP BY reason ORDER BY reason;

-- name: storage
-- Size of a hypertable; bytes of the rows and of their indexes apart.
SELECT
    (SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %(table)s::text) AS chunks,
    coalesce(sum(table_bytes + coalesce(toast_bytes, 0)), 0)::int8 AS table_bytes,
    coalesce(sum(index_bytes), 0)::int8 AS index_bytes
FROM hypertable_detailed_size(%(table)s::text::regclass);

-- name: count_samples
-- All rows of the hypertable sample.
SELECT count(*) FROM sample;

-- name: count_readings
-- All rows of the hypertable reading.
SELECT count(*) FROM reading;

-- name: drop_chunks
-- Retention: lets whole chunks go that end before an instant.
SELECT drop_chunks(%(table)s::text::regclass, older_than => %(before)s::timestamptz);

-- name: forget_revisions
-- Lets the revisions of dropped readings go.
DELETE FROM reading_revision v
WHERE v.time < %(before)s AND NOT EXISTS (SELECT FROM reading r WHERE r.time = v.time AND r.meter = v.meter);

-- name: forget_sample_batches
-- Forgets the numbers of old batches; a spool older than that would be stored twice.
DELETE FROM sample_batch WHERE written_at < %(before)s;

-- name: days_to_close
-- Chunks of readings that ended before an instant and have no valid index for one meter's curve; names of chunk and index.
SELECT c.chunk_schema, c.chunk_name, c.chunk_name || '_meter_time'
FROM timescaledb_information.chunks c
LEFT JOIN pg_catalog.pg_index i
    ON i.indexrelid = to_regclass(format('%%I.%%I', c.chunk_schema, c.chunk_name || '_meter_time')) AND i.indisvalid
WHERE c.hypertable_name = 'reading' AND c.range_end <= %(before)s AND i.indexrelid IS NULL
ORDER BY c.range_start;

-- name: edition
-- What the server calls its edition of TimescaleDB: apache, or timescale for the community edition.
SELECT current_setting('timescaledb.license');

-- name: compressed_days
-- Days of readings, and how many of them are compressed.
SELECT count(*), count(*) FILTER (WHERE is_compressed)
FROM timescaledb_information.chunks WHERE hypertable_name = 'reading';

-- name: days_to_compress
-- Chunks of readings that ended before an instant and are not compressed.
SELECT format('%%I.%%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks
WHERE hypertable_name = 'reading' AND range_end <= %(before)s AND NOT is_compressed ORDER BY range_start;

-- name: is_compression_declared
-- Whether it was said before how readings are compressed.
SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = 'reading';

-- name: declare_compression
-- A meter's day lies together, in the order of time: neighbouring registers differ little.
ALTER TABLE reading SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'meter', timescaledb.compress_orderby = 'time'
);

-- name: compress_day
-- Compresses one closed day; late readings still fit into it.
SELECT compress_chunk({chunk}::regclass);

-- name: drop_unfinished_index
-- Removes what an interrupted index build has left.
DROP INDEX IF EXISTS {schema}.{index};

-- name: index_closed_day
-- One meter's month takes 5 ms with this index and 1.7 s without; built beside running writes.
CREATE INDEX CONCURRENTLY {index} ON {schema}.{chunk} (meter, time);

-- name: create_meter_arrivals
-- Staging for a list of meters.
CREATE TEMPORARY TABLE meter_arrival (
    line int4, serial int8, metering_point text, unit text, concentrator text, feeder text, class text,
    multiplier int4, digits int2, installed_at timestamptz, transformer text, model text, ct int4, vt int4,
    schedule text, schedule_since timestamptz
) ON COMMIT DROP;

-- name: copy_meter_arrivals
-- A list of meters in.
COPY meter_arrival
    (line, serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, installed_at,
    transformer, model, ct, vt, schedule, schedule_since)
FROM STDIN;

-- name: take_conflicting_meters
-- Removes and returns listed meters that contradict an installation, with the installed serial and metering point.
WITH conflict AS (
    SELECT a.line, m.serial, m.metering_point
    FROM meter_arrival a JOIN meter m ON m.serial = a.serial AND m.removed_at IS NULL
    WHERE m.metering_point <> a.metering_point
    UNION ALL
    SELECT a.line, m.serial, m.metering_point
    FROM meter_arrival a JOIN meter m ON m.metering_point = a.metering_point AND m.removed_at IS NULL
    WHERE m.serial <> a.serial
)
DELETE FROM meter_arrival a USING conflict c WHERE a.line = c.line
RETURNING a.line, a.serial, a.metering_point, c.serial, c.metering_point;

-- name: take_contradicting_meters
-- Removes and returns listed meters that contradict what is known of their model, or would change what a bill rests on.
WITH contradiction AS (
    SELECT a.line, CASE
        WHEN a.model <> '' AND d.code IS NULL THEN 'model ' || quote_literal(a.model) || ' is not in the list of models'
        WHEN a.digits <> d.digits THEN 'digits ' || a.digits || ', but model ' || a.model || ' has ' || d.digits
        WHEN a.multiplier <> m.multiplier THEN
            'multiplier ' || a.multiplier || ' is listed, ' || m.multiplier || ' is installed: an exchange changes it'
        WHEN a.digits <> m.digits THEN
            'digits ' || a.digits || ' are listed, ' || m.digits || ' are installed: an exchange changes them'
        END AS why
    FROM meter_arrival a
    LEFT JOIN meter_model d ON d.code = a.model
    LEFT JOIN meter m ON m.serial = a.serial AND m.removed_at IS NULL
)
DELETE FROM meter_arrival a USING contradiction c WHERE a.line = c.line AND c.why IS NOT NULL RETURNING a.line, c.why;

-- name: update_listed_meters
-- Changes what the list says otherwise about installed meters.
UPDATE meter m SET
    unit = a.unit, concentrator = a.concentrator, feeder = a.feeder, class = a.class,
    transformer = a.transformer, model = a.model, ct = coalesce(a.ct, m.ct), vt = coalesce(a.vt, m.vt)
FROM meter_arrival a
WHERE m.removed_at IS NULL AND m.serial = a.serial
    AND (m.unit, m.concentrator, m.feeder, m.class, m.transformer, m.model, m.ct, m.vt)
        IS DISTINCT FROM (a.unit, a.concentrator, a.feeder, a.class, a.transformer, a.model,
            coalesce(a.ct, m.ct), coalesce(a.vt, m.vt));

-- name: insert_listed_meters
-- Adds listed meters that are not installed yet, in the order of the list.
INSERT INTO meter
    (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, installed_at, transformer, model,
    ct, vt)
SELECT serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, installed_at, transformer, model,
    ct, vt
FROM meter_arrival a
WHERE NOT EXISTS (SELECT FROM meter m WHERE m.removed_at IS NULL AND m.serial = a.serial)
ORDER BY line;

-- name: insert_programmes
-- Notes which schedule listed meters have been programmed with, where that is news.
INSERT INTO meter_programme (meter, since, schedule)
SELECT m.id, coalesce(a.schedule_since, CASE WHEN p.meter IS NULL THEN m.installed_at ELSE now() END), a.schedule
FROM meter_arrival a
JOIN meter m ON m.serial = a.serial AND m.removed_at IS NULL
LEFT JOIN LATERAL (
    SELECT meter, schedule FROM meter_programme WHERE meter = m.id ORDER BY since DESC LIMIT 1
) p ON true
WHERE a.schedule <> '' AND a.schedule IS DISTINCT FROM p.schedule
ON CONFLICT (meter, since) DO UPDATE SET schedule = excluded.schedule;

-- name: upsert_model
-- A model of meters as listed; the new list replaces the old.
INSERT INTO meter_model (code, digits, wrap_kwh, capture_period_s, rates)
VALUES (%(code)s, %(digits)s, %(wrap_kwh)s, %(capture_period_s)s, %(rates)s)
ON CONFLICT (code) DO UPDATE SET digits = excluded.digits, wrap_kwh = excluded.wrap_kwh,
    capture_period_s = excluded.capture_period_s, rates = excluded.rates, listed_at = now();

-- name: list_models
-- All models.
SELECT code, digits, wrap_kwh, capture_period_s, rates FROM meter_model ORDER BY code;

-- name: try_lease
-- Takes the lock of a lease until the connection ends, if it is free.
SELECT pg_try_advisory_lock(%(key)s);

-- name: confirm_session
-- Answers as long as the session lives, and with it every lock it holds.
SELECT true;

-- name: count_telemetry
-- Stored samples, and the rows that stored batches say they brought: the two must be equal.
SELECT (SELECT count(*) FROM sample), (SELECT coalesce(sum(rows), 0)::int8 FROM sample_batch);

-- name: count_readings_between
-- Readings whose interval ended in a span, both ends included.
SELECT count(*) FROM reading WHERE time BETWEEN %(first)s AND %(last)s;
