"""The readings pipe through the real ``scada collect`` in its own process, from the broker to the commit.

Phases, each selectable with ``--phases``:

- batches: concentrators' batches, against ``psql \\copy`` of the same rows, sorted, into the same empty hypertable;
- dirty: the same kind of stream with 1 % of the messages redelivered and 1 % late;
- singles: JSON readings with QoS 1 over thousands of connections on a schedule of five seconds, against the same taken
  by a bare subscriber;
- backlog: a lost day of every meter, older than what is stored already.

SECONDS shortens: 100 gives the full sizes. Stored is compared with offered to the row, by count and by the sum of a
register, after every phase.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import psycopg

from historian.registry import import_meters
from scada.clock import now_us
from tests.bench import _fleet as fleet
from tests.bench._collector import Collector, collector, publisher, subscriber
from tests.bench._house import House, private_services
from tests.bench._psql import copy_readings
from tests.bench.result import Result, say

FULL_S = 100.0
ROUNDS = 2
SINGLES_S = 5.0
NOTHING_IS_MISSING_YET = "gap_grace_s = 864000.0"
"""Most intervals of these days are never offered, or are forgotten between two phases. To find them missing takes the
gap ledger 100 MB and half a core for as long as the later phases last, whatever the readings cost."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is offered."""

    meters: int
    intervals: int
    """Of the batches and of the dirty stream, per round."""
    connections: int
    backlog_intervals: int

    @classmethod
    def of(cls, seconds: float) -> "Sizes":
        """200,000 meters, 2 × 2 M readings in batches, 10,000 connections and a day of 48 intervals at 100 s."""
        share = min(1.0, seconds / FULL_S)
        concentrators = max(10, int(fleet.METERS // fleet.PER_CONCENTRATOR * min(1.0, share * 2)))
        return Sizes(
            meters=concentrators * fleet.PER_CONCENTRATOR,
            intervals=max(2, int(10 * min(1.0, share * 2))),
            connections=max(500, int(10_000 * min(1.0, share * 2))),
            backlog_intervals=max(12, int(48 * share)),
        )


class Ingest:
    """One run: the house, the head-end, what was expected so far."""

    def __init__(self, house: House, head_end: Collector, sizes: Sizes, result: Result) -> None:
        self.house = house
        self.head_end = head_end
        self.sizes = sizes
        self.result = result
        self.today = fleet.midnight(now_us(), 0)
        self.received = 0
        self.memory: list[tuple[int, float]] = []
        with psycopg.connect(house.dsn) as connection:
            self._ids = np.array([row[0] for row in connection.execute("SELECT id FROM meter ORDER BY serial")])

    def offer(self, job: Mapping[str, object], *, readings: int) -> Mapping[str, float]:
        """Let a publisher do ``job`` and wait until ``readings`` are received and settled.

        Adds to the publisher's outcome: committed_at, and processor time of head-end, broker and database.
        """
        with publisher(self.house, {"meters": self.sizes.meters, **job}) as offering:
            cpu, servers = self.head_end.cpu_s(), self.house.cpu_s()
            offering.go()
            committed_at = self.head_end.until_received(self.received + readings, self._note_memory)
            outcome = dict(offering.outcome())
        self.received += readings
        self.result.lost += int(outcome["refused"])
        outcome["head_end_cpu_s"] = self.head_end.cpu_s() - cpu
        outcome |= {f"{name}_cpu_s": after - servers[name] for name, after in self.house.cpu_s().items()}
        cpu_s = {name: each for name, each in outcome.items() if name.endswith("_cpu_s")}
        say(f"{committed_at - outcome['first_at']:.1f} s; processor time, s: {cpu_s}")
        return {**outcome, "committed_at": committed_at}

    def expect(self, times: list[int]) -> None:
        """Compare the table with what was offered for ``times``, by count and by the sum of a register."""
        between = f"time BETWEEN to_timestamp({times[0] / 1e6}) AND to_timestamp({times[-1] / 1e6})"
        found = self.house.number(f"SELECT count(*) FROM reading WHERE {between}")
        numbers = np.arange(1, self.sizes.meters + 1, dtype=np.int64)
        expected = self.sizes.meters * len(times)
        self.result.lost += max(0, expected - found)
        self.result.duplicated += max(0, found - expected)
        total = sum(int(fleet.energy_wh(numbers, time).sum()) for time in times)
        if found == expected and total != self.house.number(f"SELECT sum(import_wh) FROM reading WHERE {between}"):
            raise AssertionError("as many rows as offered, but not the same values")

    def copy(self, times: list[int]) -> float:
        """Seconds that ``psql`` takes for the same rows; the table is empty before and after."""
        seconds = copy_readings(self.house, fleet.as_rows(self._ids, times))
        self.forget()
        return seconds

    def forget(self) -> None:
        """Empty the table."""
        with psycopg.connect(self.house.dsn) as connection:
            connection.execute("TRUNCATE reading")

    def _note_memory(self, received: int) -> None:
        self.memory.append((received, self.head_end.rss_mib()))


async def run(seconds: float | None, phases: Collection[str] = ()) -> Result:
    """All phases, or those named."""
    sizes = Sizes.of(seconds or FULL_S)
    result = Result("ingest")
    with private_services() as house:
        registry = house.folder / "meters.csv"
        fleet.write_registry(registry, sizes.meters)
        begun = time.monotonic()
        import_meters(house.dsn, registry)
        say(f"registry: {sizes.meters:,} meters in {time.monotonic() - begun:.1f} s")
        if not phases or "singles" in phases:
            _bare_broker(house, sizes, result)
        with collector(house, NOTHING_IS_MISSING_YET) as head_end:
            ingest = Ingest(house, head_end, sizes, result)
            for name, phase in PHASES.items():
                if not phases or name in phases:
                    ingest.memory = []
                    phase(ingest)
                    _memory(name, ingest)
            readings = head_end.readings()
            result.lost += sum(readings["rejected"].values())
    return result


def _batches(ingest: Ingest) -> None:
    start, count = ingest.today - 2 * fleet.DAY_US, ingest.sizes.intervals
    pipe_s = copy_s = 0.0
    cpu_s: dict[str, float] = {}
    for each in range(ROUNDS):
        times = fleet.interval_ends(start, 1 + each * count, count)
        copy_s += ingest.copy(times)
        outcome = ingest.offer({"kind": "batches", "times": times}, readings=count * ingest.sizes.meters)
        ingest.expect(times)
        ingest.forget()
        pipe_s += outcome["committed_at"] - outcome["first_at"]
        cpu_s |= {name: cpu_s.get(name, 0.0) + each for name, each in outcome.items() if name.endswith("_cpu_s")}
    rows = ROUNDS * count * ingest.sizes.meters
    ingest.result.figures |= {
        "batch_readings": rows,
        "batch_readings_per_s": rows / pipe_s,
        "batch_cpu_us_per_reading": cpu_s["head_end_cpu_s"] / rows * 1e6,
    }
    ingest.result.limits |= {
        "copy_readings_per_s": rows / copy_s,
        "batch_publisher_cpu_us_per_reading": cpu_s["publisher_cpu_s"] / rows * 1e6,
        "batch_broker_cpu_us_per_reading": cpu_s["broker_cpu_s"] / rows * 1e6,
        "batch_database_cpu_us_per_reading": cpu_s["database_cpu_s"] / rows * 1e6,
    }
    ingest.result.ratios["batch_vs_copy"] = copy_s / pipe_s
    say(f"batches: {rows / pipe_s:,.0f} readings/s, psql {rows / copy_s:,.0f}")


def _dirty(ingest: Ingest) -> None:
    count = ingest.sizes.intervals
    rates: dict[bool, float] = {}
    for dirty in (False, True):
        times = fleet.interval_ends(ingest.today - 2 * fleet.DAY_US, 21 + dirty * count, count)
        messages = count * ingest.sizes.meters // fleet.PER_CONCENTRATOR
        again = len(range(0, messages, 100)) * fleet.PER_CONCENTRATOR if dirty else 0
        rows = count * ingest.sizes.meters + again
        outcome = ingest.offer({"kind": "batches", "times": times, "dirty": dirty}, readings=rows)
        ingest.expect(times)
        rates[dirty] = rows / (outcome["committed_at"] - outcome["first_at"])
    ingest.forget()
    ingest.result.figures["dirty_readings_per_s"] = rates[True]
    ingest.result.limits["clean_readings_per_s"] = rates[False]
    ingest.result.ratios["dirty_vs_clean"] = rates[True] / rates[False]
    say(f"dirty: {rates[True]:,.0f} readings/s, clean {rates[False]:,.0f}")


def _single_job(sizes: Sizes, times: list[int]) -> dict[str, object]:
    """A message of every meter, on a schedule."""
    offered_s = SINGLES_S * sizes.meters / fleet.METERS
    return {"kind": "singles", "times": times, "connections": sizes.connections, "seconds": offered_s}


def _bare_broker(house: House, sizes: Sizes, result: Result) -> None:
    """The single messages, taken by a program that only counts and acknowledges them; before a head-end subscribes."""
    job = {"meters": sizes.meters, **_single_job(sizes, [fleet.midnight(now_us(), 1)])}
    with subscriber(house, sizes.meters) as taking, publisher(house, job) as offering:
        before = house.cpu_s()["broker"]
        offering.go()
        offered, taken = offering.outcome(), taking.outcome()
        broker_cpu_s = house.cpu_s()["broker"] - before
    result.limits |= {
        "single_bare_broker_s": taken["last_at"] - offered["first_at"],
        "single_bare_broker_acknowledged_s": offered["last_acknowledged_at"] - offered["first_at"],
        "single_bare_broker_cpu_us_per_message": broker_cpu_s / sizes.meters * 1e6,
        "single_bare_subscriber_cpu_us_per_message": taken["subscriber_cpu_s"] / sizes.meters * 1e6,
    }
    say(f"singles: a bare subscriber has all after {taken['last_at'] - offered['first_at']:.2f} s")


def _singles(ingest: Ingest) -> None:
    times = fleet.interval_ends(ingest.today - fleet.DAY_US, 1, 1)
    outcome = ingest.offer(_single_job(ingest.sizes, times), readings=ingest.sizes.meters)
    ingest.expect(times)
    ingest.result.figures |= {
        "single_readings": ingest.sizes.meters,
        "single_connections": ingest.sizes.connections,
        "single_offered_s": outcome["last_sent_at"] - outcome["first_at"],
        "single_all_committed_s": outcome["committed_at"] - outcome["first_at"],
        "single_cpu_us_per_message": outcome["head_end_cpu_s"] / ingest.sizes.meters * 1e6,
    }
    ingest.result.limits |= {
        "single_acknowledged_by_broker_s": outcome["last_acknowledged_at"] - outcome["first_at"],
        "single_publisher_cpu_us_per_message": outcome["publisher_cpu_s"] / ingest.sizes.meters * 1e6,
        "single_broker_cpu_us_per_message": outcome["broker_cpu_s"] / ingest.sizes.meters * 1e6,
        "single_database_cpu_us_per_message": outcome["database_cpu_s"] / ingest.sizes.meters * 1e6,
    }
    ingest.result.ratios["single_vs_bare_broker"] = (
        ingest.result.limits["single_bare_broker_s"] / ingest.result.figures["single_all_committed_s"]
    )
    say(f"singles: all committed after {outcome['committed_at'] - outcome['first_at']:.2f} s")


def _backlog(ingest: Ingest) -> None:
    times = fleet.interval_ends(ingest.today - 4 * fleet.DAY_US, 1, ingest.sizes.backlog_intervals)
    rows = len(times) * ingest.sizes.meters
    outcome = ingest.offer({"kind": "backlog", "times": times, "intervals_per_message": 12}, readings=rows)
    ingest.expect(times)
    took = outcome["committed_at"] - outcome["first_at"]
    ingest.result.figures |= {
        "backlog_readings": rows,
        "backlog_committed_s": took,
        "backlog_readings_per_s": rows / took,
    }
    say(f"backlog: {rows:,} readings committed after {took:.1f} s, {rows / took:,.0f}/s")


PHASES: Mapping[str, Callable[[Ingest], None]] = {
    "batches": _batches,
    "dirty": _dirty,
    "singles": _singles,
    "backlog": _backlog,
}


def _memory(phase: str, ingest: Ingest) -> None:
    """The most memory the head-end had in a phase; of the backlog, the longest, also by all of it against by a tenth.

    A phase by itself, because each is another load: two hundred readings in a message, one, or two thousand.
    """
    figures = ingest.result.figures
    figures[f"collect_rss_{phase}_mib"] = max(rss for _, rss in ingest.memory)
    figures["collect_rss_peak_mib"] = max(figures.get("collect_rss_peak_mib", 0.0), figures[f"collect_rss_{phase}_mib"])
    if phase == "backlog":
        first, last = ingest.memory[0][0], ingest.memory[-1][0]
        early = max(rss for received, rss in ingest.memory if received - first <= (last - first) / 10)
        figures["collect_rss_growth"] = figures[f"collect_rss_{phase}_mib"] / early
