-- Snapshots and exports ask for what became of a span of intervals or of a boundary, of all meters.
CREATE INDEX reading_revision_time ON reading_revision (time);
CREATE INDEX register_revision_time ON register_revision (time);
