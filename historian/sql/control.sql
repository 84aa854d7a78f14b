-- The control desk's journal.

-- name: last_journal_entry
-- The newest entry that has arrived: its segment, sequence and hash.
SELECT segment, sequence, hash FROM control_journal ORDER BY segment DESC, sequence DESC LIMIT 1;

-- name: insert_journal_entry
-- One entry; one that is there already stays as it was.
INSERT INTO control_journal (segment, sequence, time, kind, body, previous, hash)
VALUES (
    %(segment)s, %(sequence)s, to_timestamp(%(time)s / 1000000.0), %(kind)s, %(body)s::text::jsonb, %(previous)s, %(hash)s
)
ON CONFLICT (segment, sequence) DO NOTHING;

-- name: journal_hashes
-- Hashes of a segment as they arrived, by sequence.
SELECT sequence, hash FROM control_journal WHERE segment = %(segment)s ORDER BY sequence;
