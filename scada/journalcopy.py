"""The copy of the control desk's journal in the historian: what is new in the files, from where it came last.

Knows both sides. Does not know what entries mean. A file is read from its beginning once in a process, then only what
was added: a desk that is in control for months has a long one.
"""

import logging
from pathlib import Path
from typing import Final

from historian.journal import JournalArchive
from scada.control.journal import entry_in
from scada.control.tenure import segments
from scada.hashchain import ChainError, Entry
from scada.model.errors import StoreRejected

AT_ONCE: Final = 500

log = logging.getLogger(__name__)


class JournalCopy:
    """Copies one desk's journal; one caller at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[int, tuple[int, int]] = {}
        self._fault = ""

    def forward(self, archive: JournalArchive) -> int:
        """Copy what has not arrived there yet; how many entries. Blocks; raises StoreUnavailable.

        A line that cannot be read, or that the database refuses, ends the copy there, told once: the desk goes on, and
        `scada journal verify` judges.
        """
        token, sequence = archive.last()
        count = 0
        for path in segments(self._folder):
            if (segment := int(path.stem)) >= token:
                fresh, end = self._fresh(path, sequence if segment == token else 0)
                try:
                    for first in range(0, len(fresh), AT_ONCE):
                        archive.write(segment, fresh[first : first + AT_ONCE])
                except StoreRejected as refused:
                    self._tell(f"the database does not take: segment {path.stem}, {refused}")
                    break
                self._read[segment] = end
                count += len(fresh)
        return count

    def _fresh(self, path: Path, known: int) -> tuple[list[Entry], tuple[int, int]]:
        """Whole entries after number ``known``; and the lines and bytes that were read then."""
        lines, offset = self._read.get(int(path.stem), (0, 0))
        if lines > known:
            # The historian has lost what it had.
            lines, offset = 0, 0
        fresh: list[Entry] = []
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if lines >= known:
                    try:
                        fresh.append(entry_in(line, lines + 1))
                    except ChainError as error:
                        self._tell(f"cannot be read: segment {path.stem}, {error}")
                        break
                lines, offset = lines + 1, offset + len(line)
        return fresh, (lines, offset)

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            log.error("The copy of the control desk's journal ends at an entry that %s", fault)
