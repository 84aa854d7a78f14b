"""The exception tree. What the field says is a value; these are for broken files, links and stores.

GridScadaError
├── ConfigurationError     files are wrong; carries every fault found
├── StoreError
│   ├── StoreUnavailable   the database cannot be reached now; try again, nothing is lost
│   └── StoreRejected      the database refused the rows; trying again cannot help
├── SpoolError             the disk refuses the spool (full, read-only)
├── LinkError              a station or the broker cannot be reached
└── ServicesError
    └── ServicesDown       the private services are not running
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in a file: where it stands and how to mend it."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class GridScadaError(Exception):
    """Root of this project's exceptions."""


class ConfigurationError(GridScadaError):
    """Files that cannot be used; ``faults`` holds all of them, sorted."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class StoreError(GridScadaError):
    """The historian could not do what was asked."""


class StoreUnavailable(StoreError):
    """The database cannot be reached now; whoever holds data keeps it and tries again."""


class StoreRejected(StoreError):
    """The database refused the rows; trying again cannot help."""


class RowsRejected(StoreRejected):
    """The database refused ``rejected`` rows of a batch, now in the quarantine; the other rows are stored."""

    def __init__(self, message: str, *, rejected: int) -> None:
        self.rejected = rejected
        super().__init__(message)


class SpoolError(GridScadaError):
    """The disk refuses the spool."""


class LinkError(GridScadaError):
    """A station or the broker cannot be reached."""


class ServicesError(GridScadaError):
    """The private services could not be started or stopped."""


class ServicesDown(ServicesError):
    """The private services are not running."""
