"""A small certificate authority for demonstrations and tests: X.509, CRL, OCSP, time-stamps."""
