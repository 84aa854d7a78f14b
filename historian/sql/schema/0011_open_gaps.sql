-- The ledger is walked through in blocks, however many gaps have been recovered since.
CREATE INDEX gap_walk ON gap (period_s, id) WHERE state <> 3;
