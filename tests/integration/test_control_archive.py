"""Claims about the journal's way into the historian, against a real database."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import psycopg
import pytest

from historian.journal import JournalArchive
from scada.control.journal import whole_entries
from scada.control.recovery import begin
from scada.control.tenure import segments, take
from scada.hashchain import Entry
from scada.journalcopy import JournalCopy
from scada.model.errors import StoreRejected, StoreUnavailable

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
    copy = JournalCopy(tmp_path)
    with JournalArchive(database) as archive:
        assert archive.last() == (0, 0)
        written(tmp_path, 3)
        assert copy.forward(archive) == 5
        written(tmp_path, 1)
        assert copy.forward(archive) == 3
        assert copy.forward(archive) == 0
        assert archive.last() == (2, 3)
        for path in segments(tmp_path):
            hashes = {entry.sequence: entry.hash for entry in whole_entries(path)}
            assert archive.hashes(int(path.stem)) == hashes
            archive.write(int(path.stem), list(whole_entries(path)))
        assert archive.last() == (2, 3)
        written(tmp_path, 1)
        assert JournalCopy(tmp_path).forward(archive) == 3


class Archive:
    """A table that forgets and fails when told to."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []
        self.is_away = False
        self.refuses = False

    def last(self) -> tuple[int, int]:
        return max(self.rows, default=(0, 0))

    def write(self, segment: int, entries: Sequence[Entry]) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        if self.refuses:
            raise StoreRejected("refused by the database: no such text")
        self.rows += [(segment, entry.sequence) for entry in entries]


def copied(copy: JournalCopy, archive: Archive) -> int:
    return copy.forward(cast(JournalArchive, archive))


def test_a_growing_file_is_read_from_where_it_was_left_and_a_line_being_written_comes_when_it_is_whole(
    tmp_path: Path,
) -> None:
    archive, copy = Archive(), JournalCopy(tmp_path)
    written(tmp_path, 3)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    first, second = (whole[: whole.index(b"\n") + 1 + more] for more in (0, 40))
    path.write_bytes(second)
    assert copied(copy, archive) == 1
    # What was read is not looked at again.
    path.write_bytes(b"x" * len(first) + whole[len(first) :])
    assert copied(copy, archive) == 4
    assert archive.rows == [(1, number) for number in range(1, 6)]


def test_what_a_store_that_was_away_or_was_set_back_has_not_is_copied_again(tmp_path: Path) -> None:
    archive, copy = Archive(), JournalCopy(tmp_path)
    written(tmp_path, 3)
    archive.is_away = True
    with pytest.raises(StoreUnavailable):
        copied(copy, archive)
    archive.is_away = False
    assert copied(copy, archive) == 5
    archive.rows = archive.rows[:2]
    assert copied(copy, archive) == 3
    assert archive.rows == [(1, number) for number in range(1, 6)]


def test_an_entry_that_cannot_be_read_ends_the_copy_there_told_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, copy = Archive(), JournalCopy(tmp_path)
    written(tmp_path, 3)
    (path,) = segments(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff\n", *lines[3:]]))
    assert [copied(copy, archive) for _ in range(3)] == [2, 0, 0]
    told = "The copy of the control desk's journal ends at an entry that cannot be read: segment 000001, entry 3: "
    assert [each.startswith(told) for each in caplog.messages] == [True]


def test_a_text_the_database_cannot_keep_does_not_end_the_copy(tmp_path: Path, database: str) -> None:
    """A message that was turned away may say anything; PostgreSQL keeps no NUL."""
    tenure = take(tmp_path, lambda: 0.0)
    assert tenure is not None
    journal, _ = begin(tmp_path, tenure, NOW)
    journal.append("refused", {"id": "a\x00b", "names": ["\x00", r"\u0000"]}, NOW)
    journal.close(NOW)
    with JournalArchive(database) as archive:
        assert JournalCopy(tmp_path).forward(archive) == 3
        (path,) = segments(tmp_path)
        assert archive.hashes(1) == {entry.sequence: entry.hash for entry in whole_entries(path)}
    with psycopg.connect(database) as connection:
        (body,) = connection.execute("SELECT body FROM control_journal WHERE kind = 'refused'").fetchone() or ()
    assert body == {"id": "a\ufffdb", "names": ["\ufffd", r"\u0000"]}


def test_what_the_database_refuses_ends_the_copy_there_and_not_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, copy = Archive(), JournalCopy(tmp_path)
    written(tmp_path, 1)
    archive.refuses = True
    assert [copied(copy, archive), copied(copy, archive)] == [0, 0]
    assert caplog.messages == [
        "The copy of the control desk's journal ends at an entry that the database does not take: "
        "segment 000001, refused by the database: no such text"
    ]
    archive.refuses = False
    assert copied(copy, archive) == 3
