-- Named queries of electronic supply contracts; see historian/queries.py for the form.

-- name: next_contract_number
-- A number never given before; gaps are allowed.
SELECT nextval('contract_number');

-- name: insert_contract_event
-- One event; nothing is inserted when another writer took the sequence number first or left a gap before it.
INSERT INTO contract_event (request, sequence, time, actor, action, document_sha256, details)
SELECT %(request)s, %(sequence)s, %(time)s, %(actor)s, %(action)s, %(document_sha256)s, %(details)s
WHERE (SELECT count(*) FROM contract_event WHERE request = %(request)s) = %(sequence)s - 1
ON CONFLICT (request, sequence) DO NOTHING;

-- name: upsert_contract
-- The request as of its last event.
INSERT INTO contract (request, kind, state, customer, identity, metering_point, tariff_class, meter_serial,
                      start_registers, valid_from, valid_to, predecessor, waiting, applied_at)
VALUES (%(request)s, %(kind)s, %(state)s, %(customer)s, %(identity)s, %(metering_point)s, %(tariff_class)s,
        %(meter_serial)s, %(start_registers)s, %(valid_from)s, %(valid_to)s, %(predecessor)s, %(waiting)s,
        %(applied_at)s)
ON CONFLICT (request) DO UPDATE SET
    state = excluded.state, meter_serial = excluded.meter_serial, start_registers = excluded.start_registers,
    valid_from = excluded.valid_from, valid_to = excluded.valid_to, waiting = excluded.waiting;

-- name: contract_events
-- What happened to a request, oldest first.
SELECT request, sequence, time, actor, action, document_sha256, details
FROM contract_event WHERE request = %(request)s ORDER BY sequence;

-- name: contracts
-- All requests, or those in the given states, oldest first.
SELECT request, kind, state, customer, identity, metering_point, tariff_class, meter_serial, start_registers,
       valid_from, valid_to, predecessor, waiting, applied_at
FROM contract WHERE cardinality(%(states)s::text[]) = 0 OR state = ANY(%(states)s) ORDER BY applied_at, request;

-- name: count_contracts
-- How many requests are in each state.
SELECT state, count(*) FROM contract GROUP BY state;

-- name: valid_contract
-- The contract that holds for a metering point at a time.
SELECT request, kind, state, customer, identity, metering_point, tariff_class, meter_serial, start_registers,
       valid_from, valid_to, predecessor, waiting, applied_at
FROM contract
WHERE metering_point = %(metering_point)s AND valid_from IS NOT NULL
  AND tstzrange(valid_from, valid_to) @> %(at)s::timestamptz;

-- name: metering_point_of
-- Where a meter is installed at a time.
SELECT metering_point
FROM meter
WHERE serial = %(serial)s AND installed_at <= %(at)s AND (removed_at IS NULL OR removed_at > %(at)s);

-- name: contracts_without_meter
-- Contracts that hold at a time, with a meter that was never installed at their metering point. A meter exchanged since
-- then was there once, so an exchange is no fault.
SELECT request, kind, state, customer, identity, metering_point, tariff_class, meter_serial, start_registers,
       valid_from, valid_to, predecessor, waiting, applied_at
FROM contract
WHERE valid_from IS NOT NULL AND tstzrange(valid_from, valid_to) @> %(at)s::timestamptz
  AND NOT EXISTS (
      SELECT FROM meter
      WHERE meter.serial = contract.meter_serial AND meter.metering_point = contract.metering_point)
ORDER BY metering_point;

-- name: points_without_contract
-- Metering points with a meter installed at a time for which no contract holds then.
SELECT DISTINCT meter.metering_point
FROM meter
WHERE meter.installed_at <= %(at)s AND (meter.removed_at IS NULL OR meter.removed_at > %(at)s)
  AND NOT EXISTS (
      SELECT FROM contract
      WHERE contract.metering_point = meter.metering_point AND contract.valid_from IS NOT NULL
        AND tstzrange(contract.valid_from, contract.valid_to) @> %(at)s::timestamptz)
ORDER BY meter.metering_point;
