-- Events, rollups and overrides of telemetry.

-- name: insert_status_event_batch
-- Claims a batch of events; no row when it is stored already.
INSERT INTO status_event_batch (source, sequence, rows) VALUES (%(source)s, %(sequence)s, %(rows)s)
ON CONFLICT (source, sequence) DO NOTHING;

-- name: copy_status_events
-- Events in, columns as in STATUS_EVENT_COPY.
COPY status_event (time, received_at, value, point, quality, cause) FROM STDIN (FORMAT binary);

-- name: status_events_between
-- The events of all points, by source time and then by arrival; of too many the newest.
COPY (
    SELECT time, received_at, value, point, quality, cause FROM (
        SELECT * FROM status_event WHERE time >= %(since)s AND time < %(until)s
        ORDER BY time DESC, id DESC LIMIT %(limit)s
    ) newest ORDER BY time, id
) TO STDOUT (FORMAT binary);

-- name: status_events_of_points
-- The events of some points, by source time and then by arrival; of too many the newest.
COPY (
    SELECT time, received_at, value, point, quality, cause FROM (
        SELECT * FROM status_event WHERE time >= %(since)s AND time < %(until)s AND point = ANY(%(points)s::int4[])
        ORDER BY time DESC, id DESC LIMIT %(limit)s
    ) newest ORDER BY time, id
) TO STDOUT (FORMAT binary);

-- name: count_status_events
-- Stored events, and the rows that stored batches say they brought.
SELECT (SELECT count(*) FROM status_event), (SELECT coalesce(sum(rows), 0)::int8 FROM status_event_batch);

-- name: insert_point_override
-- One act of an operator; known ones stay as they are.
INSERT INTO point_override (id, time, point, action, value, originator, why, until)
VALUES (%(id)s, %(time)s, %(point)s, %(action)s, %(value)s, %(originator)s, %(why)s, %(until)s)
ON CONFLICT (id) DO NOTHING;

-- name: note_changed_minutes
-- Minutes in which telemetry was stored; appended, so that writers wait neither for each other nor for the aggregation.
INSERT INTO rollup_due (level, bucket) SELECT 'minute', unnest(%(minutes)s::timestamptz[]);

-- name: take_due_buckets
-- Takes up to a number of closed buckets of a level that are due, oldest first; undone when the transaction is.
WITH chosen AS (
    SELECT DISTINCT bucket FROM rollup_due WHERE level = %(level)s AND bucket < %(closed)s
    ORDER BY bucket LIMIT %(limit)s
), taken AS (
    DELETE FROM rollup_due d USING chosen c WHERE d.level = %(level)s AND d.bucket = c.bucket RETURNING d.bucket
)
SELECT DISTINCT bucket FROM taken ORDER BY bucket;

-- name: roll_up_minutes
-- Aggregates the telemetry of a span of minutes anew, and for late samples the next known minute of the same points,
-- because the value that enters it may be another. Returns how many rows were written; their hours become due.
-- A value holds until the next one; the one in force before the span is looked for within a day.
WITH span AS (
    SELECT point, time, value, quality FROM sample WHERE time >= %(since)s AND time < %(until)s
), present AS (
    SELECT DISTINCT point FROM span
), following AS (
    SELECT s.point, s.time, s.value, s.quality
    FROM present p
    CROSS JOIN LATERAL (
        SELECT time_bucket('1 minute', n.time) AS bucket FROM sample n
        WHERE n.point = p.point AND n.time >= %(until)s AND n.time < %(closed)s
        AND n.time < %(until)s + INTERVAL '1 day' ORDER BY n.time LIMIT 1
    ) b
    CROSS JOIN LATERAL (
        SELECT f.point, f.time, f.value, f.quality FROM sample f
        WHERE f.point = p.point AND f.time >= b.bucket AND f.time < b.bucket + INTERVAL '1 minute'
    ) s
), entering AS (
    SELECT s.point, s.time, s.value, s.quality
    FROM present p CROSS JOIN LATERAL (
        SELECT e.point, e.time, e.value, e.quality FROM sample e
        WHERE e.point = p.point AND e.time < %(since)s AND e.time >= %(since)s - INTERVAL '1 day'
        ORDER BY e.time DESC LIMIT 1
    ) s
), course AS (
    SELECT point, time, value, quality, time_bucket('1 minute', time) AS bucket,
        lag(time) OVER one AS before_time, lag(value) OVER one AS before_value, lag(quality) OVER one AS before_quality,
        lead(time) OVER one AS after_time
    FROM (SELECT * FROM span UNION ALL SELECT * FROM following UNION ALL SELECT * FROM entering) s
    WINDOW one AS (PARTITION BY point ORDER BY time)
), weighed AS (
    SELECT point, bucket, time, value, quality, (quality & 192) = 0 AS valid, coalesce(before_value, 0) AS before_value,
        CASE WHEN (quality & 192) = 0 THEN extract(epoch FROM
            least(coalesce(after_time, bucket + INTERVAL '1 minute'), bucket + INTERVAL '1 minute') - time
        )::float8 ELSE 0 END AS held_s,
        CASE WHEN before_time < bucket AND (before_quality & 192) = 0
            THEN extract(epoch FROM time - bucket)::float8 ELSE 0 END AS entered_s,
        CASE WHEN before_time < bucket AND time > bucket THEN before_quality ELSE 0 END AS entering_quality
    FROM course WHERE time >= %(since)s
), written AS (
    INSERT INTO sample_minute
        (time, valid_s, minimum, maximum, mean, weighted_mean, last, point, count, valid, last_quality, quality)
    SELECT bucket, sum(held_s + entered_s),
        min(value) FILTER (WHERE valid), max(value) FILTER (WHERE valid), avg(value) FILTER (WHERE valid),
        sum(value * held_s + before_value * entered_s) / nullif(sum(held_s + entered_s), 0),
        last(value, time), point, count(*), count(*) FILTER (WHERE valid), last(quality, time),
        bit_or(quality | entering_quality)
    FROM weighed GROUP BY bucket, point ORDER BY point, bucket
    ON CONFLICT (point, time) DO UPDATE SET
        valid_s = excluded.valid_s, minimum = excluded.minimum, maximum = excluded.maximum, mean = excluded.mean,
        weighted_mean = excluded.weighted_mean, last = excluded.last, count = excluded.count, valid = excluded.valid,
        last_quality = excluded.last_quality, quality = excluded.quality
    RETURNING time
), due AS (
    INSERT INTO rollup_due (level, bucket) SELECT DISTINCT 'hour', time_bucket('1 hour', time) FROM written
)
SELECT count(*) FROM written;

-- name: roll_up_hours
-- Aggregates a span of hours from their minutes, and for late ones the next known hour of the same points. A minute
-- without a row had the last value before it in force.
WITH span AS (
    SELECT * FROM sample_minute WHERE time >= %(since)s AND time < %(until)s
), present AS (
    SELECT DISTINCT point FROM span
), following AS (
    SELECT s.* FROM present p
    CROSS JOIN LATERAL (
        SELECT time_bucket('1 hour', n.time) AS bucket FROM sample_minute n
        WHERE n.point = p.point AND n.time >= %(until)s AND n.time < %(closed)s
        AND n.time < %(until)s + INTERVAL '1 day' ORDER BY n.time LIMIT 1
    ) b
    CROSS JOIN LATERAL (
        SELECT f.* FROM sample_minute f
        WHERE f.point = p.point AND f.time >= b.bucket AND f.time < b.bucket + INTERVAL '1 hour'
    ) s
), entering AS (
    SELECT s.* FROM present p CROSS JOIN LATERAL (
        SELECT e.* FROM sample_minute e
        WHERE e.point = p.point AND e.time < %(since)s AND e.time >= %(since)s - INTERVAL '1 day'
        ORDER BY e.time DESC LIMIT 1
    ) s
), course AS (
    SELECT *, time_bucket('1 hour', time) AS bucket,
        lag(time) OVER one AS before_time, lag(last) OVER one AS before_value, lag(last_quality) OVER one AS before_quality,
        lead(time) OVER one AS after_time
    FROM (SELECT * FROM span UNION ALL SELECT * FROM following UNION ALL SELECT * FROM entering) s
    WINDOW one AS (PARTITION BY point ORDER BY time)
), weighed AS (
    SELECT *, coalesce(before_value, 0) AS entering_value,
        CASE WHEN (last_quality & 192) = 0 THEN extract(epoch FROM
            least(coalesce(after_time, bucket + INTERVAL '1 hour'), bucket + INTERVAL '1 hour') - time
            - INTERVAL '1 minute'
        )::float8 ELSE 0 END AS held_s,
        CASE WHEN before_time < bucket AND (before_quality & 192) = 0
            THEN extract(epoch FROM time - bucket)::float8 ELSE 0 END AS entered_s,
        CASE WHEN before_time < bucket AND time > bucket THEN before_quality ELSE 0 END AS entering_quality
    FROM course WHERE time >= %(since)s
), written AS (
    INSERT INTO sample_hour
        (time, valid_s, minimum, maximum, mean, weighted_mean, last, point, count, valid, last_quality, quality)
    SELECT bucket, sum(valid_s + held_s + entered_s), min(minimum), max(maximum),
        sum(mean * valid) / nullif(sum(valid), 0),
        sum(coalesce(weighted_mean * valid_s, 0) + last * held_s + entering_value * entered_s)
            / nullif(sum(valid_s + held_s + entered_s), 0),
        last(last, time), point, sum(count), sum(valid), last(last_quality, time), bit_or(quality | entering_quality)
    FROM weighed GROUP BY bucket, point ORDER BY point, bucket
    ON CONFLICT (point, time) DO UPDATE SET
        valid_s = excluded.valid_s, minimum = excluded.minimum, maximum = excluded.maximum, mean = excluded.mean,
        weighted_mean = excluded.weighted_mean, last = excluded.last, count = excluded.count, valid = excluded.valid,
        last_quality = excluded.last_quality, quality = excluded.quality
    RETURNING time
)
SELECT count(*) FROM written;

-- name: minutes_between
-- What is known of a point by minute, oldest first.
SELECT time, count, valid, valid_s, minimum, maximum, mean, weighted_mean, last, last_quality, quality
FROM sample_minute WHERE point = %(point)s AND time >= %(since)s AND time < %(until)s ORDER BY time LIMIT %(limit)s;

-- name: hours_between
-- What is known of a point by hour, oldest first.
SELECT time, count, valid, valid_s, minimum, maximum, mean, weighted_mean, last, last_quality, quality
FROM sample_hour WHERE point = %(point)s AND time >= %(since)s AND time < %(until)s ORDER BY time LIMIT %(limit)s;

-- name: samples_around
-- The last sample of a point at or before an instant and the first one after it; both at most a day away.
COPY (
    (SELECT time, value, point, quality, cause FROM sample
     WHERE point = %(point)s AND time <= %(at)s AND time > %(at)s::timestamptz - INTERVAL '1 day'
     ORDER BY time DESC LIMIT 1)
    UNION ALL
    (SELECT time, value, point, quality, cause FROM sample
     WHERE point = %(point)s AND time > %(at)s AND time <= %(at)s::timestamptz + INTERVAL '1 day'
     ORDER BY time LIMIT 1)
) TO STDOUT (FORMAT binary);

-- name: forget_event_batches
-- Forgets the numbers of old batches of events; a spool older than that would be stored twice.
DELETE FROM status_event_batch WHERE written_at < %(before)s;
