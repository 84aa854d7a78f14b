"""``psql \\copy`` of readings: what the database takes when nothing stands in front of it."""

import os
import subprocess
import time

from psycopg import conninfo

from historian.copyformat import READING_COPY, encode
from scada.model.reading import ReadingArray
from tests.bench._house import House


def copy_readings(house: House, rows: ReadingArray) -> float:
    """Seconds that one ``\\copy`` of a binary file of ``rows`` takes, connection and commit included."""
    file = house.folder / "readings.pgcopy"
    file.write_bytes(encode(rows, READING_COPY))
    columns = ", ".join(READING_COPY.columns)
    place = conninfo.conninfo_to_dict(house.dsn)
    environment = {
        **os.environ,
        "PGHOST": str(place["host"]),
        "PGPORT": str(place["port"]),
        "PGUSER": str(place["user"]),
        "PGPASSWORD": str(place["password"]),
        "PGDATABASE": str(place["dbname"]),
    }
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy reading ({columns}) FROM '{file}' (FORMAT binary)"]
    begun = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
    taken = time.monotonic() - begun
    file.unlink()
    return taken
