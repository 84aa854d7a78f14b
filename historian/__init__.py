"""The historian: telemetry and readings into PostgreSQL with TimescaleDB, each exactly once, and back out."""
