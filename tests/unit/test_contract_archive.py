"""The archive of contracts when the disk or the machine's power fails."""

import errno
import os
from pathlib import Path

import pytest

from scada.contracts.archive import Archive, ArchiveError


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Archive(tmp_path) as archive:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ArchiveError, match="No space left on device"):
                archive.put(b"content", "pdf")
        assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
        assert archive.get(archive.put(b"content", "pdf"), "pdf") == b"content"


def test_how_far_the_store_was_told_is_nothing_when_that_was_lost(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        archive.settle(7)
        assert archive.settled == 7
        (tmp_path / "settled").write_text("")
        assert archive.settled == 0
