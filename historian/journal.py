"""The control desk's journal in the database: a copy that arrives late, once, and in order.

Knows the table. Does not know what entries mean; the files of the desk are the original, and wait there while the
database is away. Calls block.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from historian.connection import DatabaseLink, OnLink
from historian.queries import query
from scada.hashchain import Entry


class JournalArchive(OnLink):
    """Writes entries of segments, each once. All calls raise StoreUnavailable: call again with the same entries."""

    def __init__(self, dsn: str) -> None:
        self._link = DatabaseLink(dsn, application="journal")

    def last(self) -> tuple[int, int]:
        """Segment and sequence of the newest entry that has arrived; (0, 0) before the first."""
        with self._link.transaction() as connection:
            row = connection.execute(query("last_journal_entry")).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def write(self, segment: int, entries: Sequence[Entry]) -> None:
        """Store entries of one segment; those that are there already stay as they are. In place of NUL, which no text
        of the database holds, stands U+FFFD: the hash remains that of the original."""
        rows = [
            {
                "segment": segment,
                "sequence": entry.sequence,
                "time": entry.time,
                "kind": entry.kind,
                "body": json.dumps(_storable(entry.body), ensure_ascii=False),
                "previous": entry.previous,
                "hash": entry.hash,
            }
            for entry in entries
        ]
        with self._link.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(query("insert_journal_entry"), rows)

    def hashes(self, segment: int) -> dict[int, str]:
        """Hash by sequence of a segment as it arrived: what its file must still hold."""
        with self._link.transaction() as connection:
            return {
                int(row[0]): str(row[1]) for row in connection.execute(query("journal_hashes"), {"segment": segment})
            }


def _storable(content: Any) -> Any:
    """JSON as PostgreSQL accepts it: what a message that was turned away says of itself may be anything."""
    if isinstance(content, str):
        return content.replace("\x00", "\ufffd")
    if isinstance(content, Mapping):
        return {_storable(name): _storable(value) for name, value in content.items()}
    return [_storable(each) for each in content] if isinstance(content, list | tuple) else content
