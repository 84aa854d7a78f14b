-- One meter's registers are looked for too, not only everybody's at one boundary.
CREATE INDEX register_meter ON register (meter, time);
