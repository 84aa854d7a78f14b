-- Statements of the head-end's depth: gaps, requests, outages, figures, snapshots.

-- name: gap_watch
-- Up to where the intervals of this length were checked.
SELECT watched_since, checked_until, scanned_at FROM gap_watch WHERE period_s = %(period_s)s;

-- name: gap_watches
-- Up to where the intervals of every length were checked.
SELECT period_s, watched_since, checked_until, scanned_at FROM gap_watch ORDER BY period_s;

-- name: earliest_reading
-- The oldest stored reading: before it this head-end read nothing.
SELECT min(time) FROM reading WHERE time >= %(since)s;

-- name: set_gap_watch
-- Intervals are checked up to here.
INSERT INTO gap_watch (period_s, watched_since, checked_until, scanned_at)
VALUES (%(period_s)s, %(watched_since)s, %(checked_until)s, %(scanned_at)s)
ON CONFLICT (period_s) DO UPDATE SET checked_until = excluded.checked_until, scanned_at = excluded.scanned_at;

-- name: installations
-- Who should have delivered intervals of one length in a span; concentrators numbered, −1 for a meter with its own
-- modem. As in EXPECTED_COPY.
COPY (
    SELECT m.id, CASE WHEN concentrator = '' THEN -1 ELSE dense_rank() OVER (ORDER BY unit, concentrator)::int4 END,
        installed_at, coalesce(removed_at, '2100-01-01 00:00+00'), registered_at
    FROM meter m LEFT JOIN meter_model k ON k.code = m.model
    WHERE installed_at < %(until)s AND coalesce(removed_at, '2100-01-01 00:00+00') > %(since)s
        AND coalesce(k.capture_period_s, %(default_s)s) = %(period_s)s
    ORDER BY m.id
) TO STDOUT (FORMAT binary);

-- name: capture_periods
-- Lengths of the intervals of models that meters are of.
SELECT DISTINCT capture_period_s FROM meter_model k WHERE EXISTS (SELECT FROM meter WHERE model = k.code) ORDER BY 1;

-- name: count_on_time
-- Readings per meter whose time is exactly an interval's end: at most one for each, so a full count is a full profile.
COPY (
    SELECT meter, count(*) FROM reading
    WHERE time > %(since)s AND time <= %(until)s AND time = date_bin(%(period)s, time, '1970-01-01 00:00+00')
    GROUP BY meter ORDER BY meter
) TO STDOUT (FORMAT binary);

-- name: reading_times
-- Which readings some meters have in a short span. "+ 0" makes the list a hashed filter on a scan of the span: without
-- statistics of a fresh day the planner else looks the whole span through once for every meter of the list.
COPY (
    SELECT time, meter FROM reading
    WHERE time >= %(since)s AND time <= %(until)s AND meter + 0 = ANY(%(meters)s::int4[])
) TO STDOUT (FORMAT binary);

-- name: reading_times_of_few
-- Which readings a few meters have in a span of closed days, whose index begins with the meter.
COPY (
    SELECT time, meter FROM reading
    WHERE time >= %(since)s AND time <= %(until)s AND meter = ANY(%(meters)s::int4[])
) TO STDOUT (FORMAT binary);

-- name: last_power_words
-- The last power failure, last gasp or return of each meter before an instant.
SELECT DISTINCT ON (meter) meter, code FROM meter_event
WHERE meter = ANY(%(meters)s::int4[]) AND code IN (1, 2, 99) AND time <= %(until)s AND time > %(since)s
ORDER BY meter, time DESC, code;

-- name: insert_gaps
-- New entries of the ledger.
INSERT INTO gap (meter, first_end, last_end, period_s, state, cause, attempts, next_try, detected_at)
SELECT meter, timestamptz 'epoch' + first * interval '1 us', timestamptz 'epoch' + last * interval '1 us',
    %(period_s)s, state, cause, attempts, timestamptz 'epoch' + next_try * interval '1 us', %(now)s
FROM unnest(%(meter)s::int4[], %(first)s::int8[], %(last)s::int8[], %(state)s::int2[], %(cause)s::int2[],
    %(attempts)s::int2[], %(next_try)s::int8[]) AS n (meter, first, last, state, cause, attempts, next_try)
ON CONFLICT (meter, period_s, first_end) DO NOTHING;

-- name: insert_gap_pieces
-- Pieces of gaps that are cut; they are as old as the whole.
INSERT INTO gap (meter, first_end, last_end, period_s, state, cause, attempts, next_try, detected_at, changed_at)
SELECT g.meter, timestamptz 'epoch' + n.first * interval '1 us', timestamptz 'epoch' + n.last * interval '1 us',
    g.period_s, n.state, g.cause, g.attempts, g.next_try, g.detected_at, %(now)s
FROM unnest(%(id)s::int8[], %(first)s::int8[], %(last)s::int8[], %(state)s::int2[]) AS n (id, first, last, state)
JOIN gap g ON g.id = n.id;

-- name: shorten_gaps
-- The first pieces of gaps that are cut.
UPDATE gap g SET first_end = timestamptz 'epoch' + n.first * interval '1 us',
    last_end = timestamptz 'epoch' + n.last * interval '1 us', state = n.state, changed_at = %(now)s
FROM unnest(%(id)s::int8[], %(first)s::int8[], %(last)s::int8[], %(state)s::int2[]) AS n (id, first, last, state)
WHERE g.id = n.id;

-- name: update_gaps
-- Gaps in another state, or asked for once more.
UPDATE gap g SET state = n.state, attempts = n.attempts,
    next_try = timestamptz 'epoch' + n.next_try * interval '1 us', changed_at = %(now)s
FROM unnest(%(id)s::int8[], %(state)s::int2[], %(attempts)s::int2[], %(next_try)s::int8[])
    AS n (id, state, attempts, next_try)
WHERE g.id = n.id;

-- name: open_gaps
-- Gaps that are not recovered and not older than an instant, in the order they were found. As in GAP_COPY.
COPY (
    SELECT id, meter, first_end, last_end, state, cause, attempts, next_try FROM gap
    WHERE period_s = %(period_s)s AND id > %(after)s AND state <> 3 AND state = ANY(%(states)s) AND last_end >= %(since)s
    ORDER BY id LIMIT %(limit)s
) TO STDOUT (FORMAT binary);

-- name: open_gaps_of
-- Gaps of some meters that wait or are asked for. As in GAP_COPY.
COPY (
    SELECT id, meter, first_end, last_end, state, cause, attempts, next_try FROM gap
    WHERE period_s = %(period_s)s AND meter = ANY(%(meters)s::int4[]) AND state IN (1, 2) ORDER BY id
) TO STDOUT (FORMAT binary);

-- name: overdue_gaps
-- Gaps whose request has run out of time, or whose meter's memory has. As in GAP_COPY.
COPY (
    SELECT id, meter, first_end, last_end, state, cause, attempts, next_try FROM gap
    WHERE period_s = %(period_s)s AND state <> 3
        AND (state = 2 AND next_try <= %(now)s OR state IN (1, 2) AND last_end < %(oldest)s)
    ORDER BY id LIMIT %(limit)s
) TO STDOUT (FORMAT binary);

-- name: due_gaps
-- Gaps to be asked for now, those waiting longest first, of places that have nothing under way. As in GAP_COPY.
COPY (
    SELECT g.id, g.meter, g.first_end, g.last_end, g.state, g.cause, g.attempts, g.next_try
    FROM gap g JOIN meter m ON m.id = g.meter
    WHERE g.period_s = %(period_s)s AND g.state = 1 AND g.next_try <= %(now)s AND g.last_end >= %(oldest)s
        AND coalesce(nullif(m.concentrator, ''), m.serial::text) <> ALL(%(busy)s)
    ORDER BY g.next_try, g.id LIMIT %(limit)s
) TO STDOUT (FORMAT binary);

-- name: meter_places
-- Where to ask for some meters.
SELECT id, serial, metering_point, unit, concentrator FROM meter WHERE id = ANY(%(meters)s::int4[]);

-- name: gap_summary
-- Gaps and intervals by state and cause, and what they concern.
SELECT state, cause, count(*), sum(extract(epoch FROM last_end - first_end)::int8 / period_s + 1)::int8,
    count(DISTINCT meter), min(first_end), max(last_end), sum(attempts)::int8
FROM gap WHERE last_end > %(since)s AND first_end <= %(until)s GROUP BY state, cause ORDER BY state, cause;

-- name: gap_list
-- Gaps by concentrator: consecutive meters with the same gap are one line.
SELECT m.unit, m.concentrator, CASE WHEN count(*) = 1 THEN min(m.serial) END, count(*),
    g.first_end, g.last_end, g.state, g.cause, max(g.attempts), min(g.next_try),
    sum(extract(epoch FROM g.last_end - g.first_end)::int8 / g.period_s + 1)::int8
FROM gap g JOIN meter m ON m.id = g.meter
WHERE g.last_end > %(since)s AND g.first_end <= %(until)s AND g.state = ANY(%(states)s)
GROUP BY m.unit, m.concentrator, CASE WHEN g.cause = 2 THEN 0 ELSE g.id END, g.first_end, g.last_end, g.state, g.cause
ORDER BY g.first_end, m.unit, m.concentrator LIMIT %(limit)s;

-- name: enter_request
-- One request to one installed meter; no row when there is none of this serial.
INSERT INTO meter_request (kind, priority, meter, requested_by, expires_at, parameters)
SELECT %(kind)s, %(priority)s, id, %(requested_by)s, %(expires_at)s, %(parameters)s
FROM meter WHERE serial = %(serial)s AND removed_at IS NULL
RETURNING id;

-- name: place_of_meter
-- Where an installed meter stands and hangs.
SELECT metering_point, feeder FROM meter WHERE serial = %(serial)s AND removed_at IS NULL;

-- name: serials_at
-- Installed meters behind a concentrator or a feeder.
SELECT serial FROM meter WHERE removed_at IS NULL AND (concentrator = %(place)s OR feeder = %(place)s) ORDER BY serial;

-- name: take_requests
-- Takes the waiting requests, each once; whoever has taken one may have sent it.
WITH taken AS (
    UPDATE meter_request SET taken_at = now() WHERE id IN (
        SELECT id FROM meter_request WHERE ended_at IS NULL AND taken_at IS NULL AND expires_at > %(now)s
        ORDER BY priority, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) RETURNING id, kind, priority, meter, expires_at, parameters
)
SELECT t.id, t.kind, t.priority, t.expires_at, t.parameters, m.serial, m.metering_point, m.unit, m.concentrator
FROM taken t JOIN meter m ON m.id = t.meter ORDER BY t.priority, t.id;

-- name: end_request
-- How a request ended; once.
UPDATE meter_request SET ended_at = now(), ending = %(ending)s, why = %(why)s, answer = %(answer)s
WHERE id = %(id)s AND ended_at IS NULL;

-- name: end_forgotten_requests
-- Ends what nobody can end any more: never taken is refused, taken by a process that is gone is unknown.
UPDATE meter_request SET ended_at = now(),
    ending = CASE WHEN taken_at IS NULL THEN 'refused' ELSE 'unknown' END,
    why = CASE WHEN taken_at IS NULL THEN 'not sent in time: no head-end took it'
        ELSE 'no answer in time' END
WHERE ended_at IS NULL AND expires_at < %(before)s;

-- name: request_endings
-- How some requests stand.
SELECT r.id, m.serial, r.kind, r.ending, r.why, r.answer FROM meter_request r JOIN meter m ON m.id = r.meter
WHERE r.id = ANY(%(ids)s) ORDER BY r.id;

-- name: collection_figures
-- Per unit, class and concentrator: installed meters, those with data in a span, and readings stored of those expected.
-- A meter owes the whole intervals of its model's length that began while it was installed and ended in the span.
WITH heard AS (
    SELECT meter, count(*) AS readings FROM reading
    WHERE time > %(since)s AND time <= %(until)s GROUP BY meter
), listed AS (
    SELECT m.id, CASE %(by)s::text
            WHEN 'unit' THEN m.unit
            WHEN 'class' THEN m.class
            ELSE coalesce(nullif(m.concentrator, ''), 'own modem') END AS part,
        greatest(0, floor(extract(epoch FROM least(%(until)s, coalesce(m.removed_at, %(until)s))) / p.s)
            - greatest(floor(extract(epoch FROM %(since)s) / p.s), ceil(extract(epoch FROM m.installed_at) / p.s))
        )::int8 AS owed
    FROM meter m LEFT JOIN meter_model k ON k.code = m.model
    CROSS JOIN LATERAL (SELECT coalesce(k.capture_period_s, %(period_s)s) AS s) p
    WHERE m.installed_at < %(until)s AND coalesce(m.removed_at, %(until)s) > %(since)s
)
SELECT part, count(*), count(h.meter), coalesce(sum(owed), 0)::int8, coalesce(sum(least(coalesce(h.readings, 0), owed)), 0)::int8
FROM listed LEFT JOIN heard h ON h.meter = listed.id GROUP BY part ORDER BY part;

-- name: customer_points
-- Metering points the customer system lists, by unit or class.
SELECT CASE %(by)s::text WHEN 'class' THEN class ELSE unit END AS part, count(*) FROM customer_point GROUP BY 1;

-- name: delete_customer_points
-- The old list goes.
DELETE FROM customer_point;

-- name: copy_customer_points
-- The new list in.
COPY customer_point (metering_point, unit, class) FROM STDIN;

-- name: power_events
-- What meters said about their supply in a span, and where they hang.
SELECT e.meter, e.time, e.code, m.feeder, m.transformer FROM meter_event e JOIN meter m ON m.id = e.meter
WHERE e.code IN (1, 2, 99) AND e.time > %(since)s ORDER BY e.time, e.meter, e.code;

-- name: supplied_since
-- For some meters the end of the first interval after an instant in which they had supply (status bit 7 not set).
SELECT w.meter, min(r.time) FROM unnest(%(meters)s::int4[], %(since)s::timestamptz[]) AS w (meter, since)
JOIN reading r ON r.meter = w.meter AND r.time > w.since AND r.time >= %(earliest)s AND (r.status & 128) = 0
GROUP BY w.meter;

-- name: transformers_of_feeders
-- How many transformers with installed meters each feeder has.
SELECT feeder, count(DISTINCT transformer) FROM meter WHERE removed_at IS NULL AND transformer <> '' GROUP BY feeder;

-- name: delete_outages
-- Outages that are computed again.
DELETE FROM outage WHERE began > %(since)s;

-- name: insert_outage
-- One outage.
INSERT INTO outage (feeder, transformer, began, restored, meters, still_out)
VALUES (%(feeder)s, %(transformer)s, %(began)s, %(restored)s, %(meters)s, %(still_out)s);

-- name: list_outages
-- Outages that touch a span, newest first.
SELECT feeder, transformer, began, restored, meters, still_out FROM outage
WHERE began <= %(until)s AND coalesce(restored, %(until)s) >= %(since)s
ORDER BY began DESC, feeder, transformer LIMIT %(limit)s;

-- name: take_snapshot
-- Registers at a boundary: of each meter those of the reading nearest to it, as it is in force, within the tolerance.
-- What is another than the snapshot in force becomes a revision of it. How many are new, and how many are revised.
WITH latest AS (
    SELECT DISTINCT ON (meter, time) meter, time, import_wh, export_wh, import_varh, status, flag, method
    FROM reading_revision WHERE time >= %(earliest)s AND time <= %(latest)s ORDER BY meter, time, id DESC
), in_force AS (
    SELECT * FROM latest
    UNION ALL
    SELECT meter, time, import_wh, export_wh, import_varh, status, flag, method
    FROM reading r WHERE time >= %(earliest)s AND time <= %(latest)s
        AND NOT EXISTS (SELECT FROM latest l WHERE l.meter = r.meter AND l.time = r.time)
), nearest AS (
    SELECT DISTINCT ON (meter) * FROM in_force WHERE (status & 7) = 0
    ORDER BY meter, abs(extract(epoch FROM time - %(at)s)), time
), wanted AS (
    SELECT r.meter, r.time AS taken_at, v.obis, v.value, r.status, r.flag, r.method
    FROM nearest r CROSS JOIN LATERAL (VALUES (1, r.import_wh), (6, r.export_wh), (11, r.import_varh)) AS v (obis, value)
), known AS (
    SELECT DISTINCT ON (meter, obis) meter, obis, taken_at, value, status, flag, method FROM (
        SELECT 0::int8 AS id, meter, obis, taken_at, value, status, flag, method
        FROM register WHERE time = %(at)s AND kind = 0
        UNION ALL
        SELECT id, meter, obis, taken_at, value, status, flag, method
        FROM register_revision WHERE time = %(at)s AND kind = 0
    ) all_known ORDER BY meter, obis, id DESC
), first AS (
    INSERT INTO register (time, taken_at, value, meter, obis, status, flag, method)
    SELECT %(at)s, w.taken_at, w.value, w.meter, w.obis, w.status, w.flag, w.method
    FROM wanted w LEFT JOIN known k USING (meter, obis)
    WHERE k.meter IS NULL AND (w.obis <> 6 OR w.value > 0)
    ON CONFLICT (time, meter, obis, kind) DO NOTHING RETURNING 1
), revised AS (
    INSERT INTO register_revision (time, taken_at, value, meter, obis, kind, status, flag, method, source)
    SELECT %(at)s, w.taken_at, w.value, w.meter, w.obis, 0, w.status, w.flag, w.method, 'snapshot'
    FROM wanted w JOIN known k USING (meter, obis)
    WHERE (w.taken_at, w.value, w.status, w.flag, w.method) IS DISTINCT FROM
        (k.taken_at, k.value, k.status, k.flag, k.method)
        -- A farther one only where the nearer reading is there and has become unusable, not where its day was dropped.
        AND (abs(extract(epoch FROM w.taken_at - %(at)s)) <= abs(extract(epoch FROM k.taken_at - %(at)s))
            OR EXISTS (SELECT FROM in_force f WHERE f.meter = k.meter AND f.time = k.taken_at))
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM revised);

-- name: snapshot_figures
-- Per unit: meters installed at a boundary, and how many have an exact, a near and no register.
-- Of several registers of one meter that are in force, the snapshot's and the meter's own, the nearest counts.
SELECT m.unit, count(*), count(*) FILTER (WHERE r.off_s = 0), count(*) FILTER (WHERE r.off_s > 0),
    count(*) FILTER (WHERE r.meter IS NULL), coalesce(max(r.off_s), 0)::int8
FROM meter m LEFT JOIN (
    SELECT meter, min(abs(extract(epoch FROM taken_at - %(at)s))) AS off_s FROM (
        SELECT DISTINCT ON (meter, kind) meter, taken_at FROM (
            SELECT 0::int8 AS id, meter, kind, taken_at FROM register WHERE time = %(at)s AND obis = 1
            UNION ALL
            SELECT id, meter, kind, taken_at FROM register_revision WHERE time = %(at)s AND obis = 1
        ) known ORDER BY meter, kind, id DESC
    ) in_force GROUP BY meter
) r ON r.meter = m.id
WHERE m.installed_at <= %(at)s AND coalesce(m.removed_at, '2100-01-01 00:00+00') > %(at)s
GROUP BY m.unit ORDER BY m.unit;

-- name: snapshots_in
-- Boundaries that have a snapshot in a span.
SELECT DISTINCT time FROM register WHERE time >= %(since)s AND time <= %(until)s ORDER BY time;

-- name: remove_meter
-- A meter leaves its metering point, with the registers read at that moment.
UPDATE meter SET removed_at = %(at)s, end_registers = %(end_registers)s
WHERE serial = %(old_serial)s AND metering_point = %(metering_point)s AND removed_at IS NULL AND installed_at < %(at)s
RETURNING id;

-- name: stands_elsewhere
-- Where a meter stands, or stood until after an instant.
SELECT metering_point FROM meter
WHERE serial = %(new_serial)s AND coalesce(removed_at, '2100-01-01 00:00+00') > %(at)s LIMIT 1;

-- name: install_in_place
-- Another meter takes the place of one that was removed: the same point, concentrator, feeder, transformer and class.
INSERT INTO meter
    (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, installed_at, transformer, model,
    start_registers, ct, vt)
SELECT %(new_serial)s, metering_point, unit, concentrator, feeder, class, %(multiplier)s, %(digits)s, %(at)s, transformer,
    %(model)s, %(start_registers)s, %(ct)s::int4, %(vt)s::int4
FROM meter WHERE id = %(id)s;

-- name: installation_history
-- Which meters stood at a metering point, oldest first.
SELECT m.serial, m.installed_at, m.removed_at, m.multiplier, m.digits, m.start_registers, m.end_registers, m.model,
    m.ct, m.vt, coalesce(p.schedules, '{}'), coalesce(p.begins, '{}')
FROM meter m LEFT JOIN LATERAL (
    SELECT array_agg(schedule ORDER BY since) AS schedules, array_agg(since ORDER BY since) AS begins
    FROM meter_programme WHERE meter = m.id
) p ON true
WHERE m.metering_point = %(metering_point)s ORDER BY m.installed_at;

-- name: quarantined_because
-- Kept messages refused for one reason, oldest first.
SELECT id, received_at, topic, payload FROM quarantine
WHERE reason = %(reason)s AND id > %(after)s AND octet_length(payload) > 0 ORDER BY id LIMIT %(limit)s;

-- name: release_quarantined
-- Messages that were accepted after all leave the quarantine.
DELETE FROM quarantine WHERE id = ANY(%(ids)s);

-- name: newest_registration
-- When the registry learned of a meter last.
SELECT max(registered_at) FROM meter;

-- name: export_readings
-- Readings of a span as first known, with when they became known; columns as in EXPORT_COPY.
COPY (
    SELECT time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method, known_at
    FROM reading WHERE time >= %(since)s AND time < %(until)s ORDER BY time, meter
) TO STDOUT (FORMAT binary);

-- name: export_revisions
-- Later, different values of readings of a span, in the order they became known.
COPY (
    SELECT time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, method, known_at
    FROM reading_revision WHERE time >= %(since)s AND time < %(until)s ORDER BY time, meter, id
) TO STDOUT (FORMAT binary);

-- name: export_meters
-- Whose the readings of a span are.
SELECT id, serial, metering_point, unit, concentrator, feeder, transformer, class, multiplier, m.digits, installed_at,
    removed_at, model, coalesce(k.rates, '{}')::text
FROM meter m LEFT JOIN meter_model k ON k.code = m.model
WHERE installed_at < %(until)s AND coalesce(removed_at, '2100-01-01 00:00+00') > %(since)s ORDER BY id;

-- name: one_snapshot
-- Everything an export reads is of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: forget_gaps_of_another_length
-- Gaps of meters whose intervals are of another length by now: what they owe is looked for in those.
DELETE FROM gap g USING meter m LEFT JOIN meter_model k ON k.code = m.model
WHERE m.id = g.meter AND g.state <> 3 AND g.period_s <> coalesce(k.capture_period_s, %(default_s)s);

-- name: forget_recovered_gaps
-- Recovered gaps of readings that billing no longer asks about.
DELETE FROM gap WHERE state = 3 AND last_end < %(before)s;

-- name: known_registers
-- Billing registers of a meter, a metering point or a unit: first values and revisions, the last known is in force.
-- Without a span the newest boundary of each meter.
WITH chosen AS (
    SELECT m.id, m.serial, m.metering_point, m.multiplier, coalesce(k.rates, '{}') AS rates
    FROM meter m LEFT JOIN meter_model k ON k.code = m.model
    WHERE m.serial = %(serial)s::int8 OR m.metering_point = %(metering_point)s::text OR m.unit = %(unit)s::text
), spans AS (
    SELECT c.*, coalesce(%(first)s::timestamptz, n.time) AS first,
        coalesce(%(last)s::timestamptz, n.time + interval '1 us') AS last
    FROM chosen c LEFT JOIN LATERAL (
        SELECT time FROM register r WHERE r.meter = c.id AND r.known_at <= %(as_of)s
        ORDER BY time DESC LIMIT 1
    ) n ON %(first)s::timestamptz IS NULL
), known AS (
    SELECT s.metering_point, s.serial, s.multiplier, s.rates, v.*,
        row_number() OVER (PARTITION BY s.id, v.time, v.kind, v.obis ORDER BY v.id DESC) = 1 AS in_force
    FROM spans s CROSS JOIN LATERAL (
        SELECT 0::int8 AS id, time, taken_at, known_at, obis, kind, value, status, flag, method, '' AS source
        FROM register r
        WHERE r.meter = s.id AND r.time >= s.first AND r.time < s.last AND r.known_at <= %(as_of)s
        UNION ALL
        SELECT id, time, taken_at, known_at, obis, kind, value, status, flag, method, source
        FROM register_revision r
        WHERE r.meter = s.id AND r.time >= s.first AND r.time < s.last AND r.known_at <= %(as_of)s
    ) v
)
SELECT metering_point, serial, multiplier, rates, time, taken_at, known_at, obis, kind, value, status, flag, method,
    source, in_force
FROM known WHERE in_force OR %(revisions)s
ORDER BY metering_point, time, serial, kind, obis, id LIMIT %(limit)s;

-- name: export_registers
-- Billing registers of a span of boundaries as first known; columns as in REGISTER_EXPORT_COPY.
COPY (
    SELECT time, taken_at, value, meter, obis, kind, status, flag, method, known_at
    FROM register WHERE time >= %(since)s AND time < %(until)s ORDER BY time, meter, obis, kind
) TO STDOUT (FORMAT binary);

-- name: export_register_revisions
-- Later, different values of billing registers of a span, in the order they became known.
COPY (
    SELECT time, taken_at, value, meter, obis, kind, status, flag, method, known_at
    FROM register_revision WHERE time >= %(since)s AND time < %(until)s ORDER BY time, meter, obis, kind, id
) TO STDOUT (FORMAT binary);
