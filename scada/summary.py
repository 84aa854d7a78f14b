"""What a demo proved: totals from the processes, the field and the database, and whether they add up.

Pure. Knows the equations; does not know where the numbers were fetched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds.

    batch_rows: rows that the stored telemetry batches say they brought · account_*: what head-ends booked together with
    their rows, over all runs.
    """

    samples: int
    batch_rows: int
    readings: int
    revisions: int
    account_received: int
    account_stored: int
    account_revised: int
    account_duplicate: int
    account_rejected: int

    def since(self, earlier: "Stored") -> "Stored":
        """The growth after ``earlier``."""
        return Stored(*(getattr(self, name) - getattr(earlier, name) for name in Stored.__slots__))


@dataclass(frozen=True, slots=True)
class TelemetryTotals:
    """The telemetry sink at its end: offered + recovered = stored + spooled + waiting + rejected + dropped."""

    offered: int = 0
    recovered: int = 0
    stored: int = 0
    spooled: int = 0
    waiting: int = 0
    rejected: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """One demo; ``faults`` is empty when everything adds up.

    *_in_database: growth of ``count(*)`` · readings_stored: with readings_revised, which lie in a table of their own ·
    readings_published: distinct ones the field knows to be delivered · complete: all stations up, all meters heard.
    """

    seconds: float
    stations: int
    stations_up: int
    points: int
    samples_offered: int
    samples_stored: int
    samples_in_database: int
    meters: int
    meters_heard: int
    readings_published: int
    readings_received: int
    readings_stored: int
    readings_revised: int
    readings_duplicate: int
    readings_rejected: int
    readings_in_database: int
    max_lag_s: float
    restarts: dict[str, int]
    complete: bool
    stopped_early: bool
    faults: tuple[str, ...]


def faults_of_telemetry(totals: TelemetryTotals, growth: Stored, restarts: int) -> list[str]:
    """Sentences for everything that does not add up between the sink and ``sample``.

    After a restart of ``run`` its totals are those of the last run only and cannot be compared with the growth.
    """
    faults = []
    settled = totals.stored + totals.spooled + totals.waiting + totals.rejected + totals.dropped
    if totals.offered + totals.recovered != settled:
        taken = f"{totals.offered} offered + {totals.recovered} recovered"
        faults.append(f"telemetry: {taken}, but {settled} accounted for")
    if growth.samples != growth.batch_rows:
        faults.append(f"telemetry: batches of {growth.batch_rows} rows, but the database has {growth.samples} more")
    if growth.samples != totals.stored and not restarts:
        faults.append(f"telemetry: {totals.stored} samples stored, but the database has {growth.samples} more")
    for count, word in (
        (totals.spooled, "still in the spool"),
        (totals.waiting, "still in memory"),
        (totals.rejected, "refused by the database"),
        (totals.dropped, "dropped"),
    ):
        if count:
            faults.append(f"telemetry: {count} samples {word}")
    return faults


def faults_of_readings(growth: Stored, published: int, present: int) -> list[str]:
    """Sentences for everything that does not add up between the field, the account and ``reading``.

    published: distinct readings the field knows to be delivered; present: rows of their time span in the database.
    """
    faults = []
    settled = growth.account_stored + growth.account_revised + growth.account_duplicate + growth.account_rejected
    if growth.account_received != settled:
        faults.append(f"readings: {growth.account_received} received, but {settled} accounted for")
    if growth.readings != growth.account_stored:
        faults.append(f"readings: {growth.account_stored} stored, but the database has {growth.readings} more")
    if growth.revisions != growth.account_revised:
        faults.append(f"readings: {growth.account_revised} revised, but the database has {growth.revisions} more")
    if present < published:
        faults.append(f"readings: {published} published, but only {present} of their time in the database")
    return faults


def faults_of_endings(unclean: Mapping[str, str], silent: Iterable[str]) -> list[str]:
    """Sentences for every process that did not end cleanly, and for each in ``silent`` that left no last state.

    Without its last state a process's figures are unknown, not zero.
    """
    faults = [f"{name} did not end cleanly: {how}" for name, how in unclean.items()]
    return faults + [f"{name} left no last state; its own figures are unknown" for name in silent]
