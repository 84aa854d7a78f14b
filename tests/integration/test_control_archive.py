"""Claims about the journal's way into the historian, against a real database."""

from pathlib import Path

import pytest

from historian.journal import JournalArchive
from scada.control.journal import whole_entries
from scada.control.recovery import begin
from scada.control.tenure import segments, take
from scada.controlling import forward_journal

pytestmark = pytest.mark.integration

NOW = 1_795_000_000_000_000


def written(folder: Path, entries: int) -> None:
    tenure = take(folder, lambda: 0.0)
    assert tenure is not None
    journal, _ = begin(folder, tenure, NOW)
    for number in range(entries):
        journal.append("note", {"sentence": f"mở {number}"}, NOW + number)
    journal.close(NOW)


def test_every_entry_arrives_once_and_in_order_however_often_it_is_forwarded(tmp_path: Path, database: str) -> None:
    with JournalArchive(database) as archive:
        assert archive.last() == (0, 0)
        written(tmp_path, 3)
        assert forward_journal(tmp_path, archive) == 5
        written(tmp_path, 1)
        assert forward_journal(tmp_path, archive) == 3
        assert forward_journal(tmp_path, archive) == 0
        assert archive.last() == (2, 3)
        for path in segments(tmp_path):
            hashes = {entry.sequence: entry.hash for entry in whole_entries(path)}
            assert archive.hashes(int(path.stem)) == hashes
            archive.write(int(path.stem), list(whole_entries(path)))
        assert archive.last() == (2, 3)
