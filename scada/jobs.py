"""``scada jobs``: what has to be done from time to time, by one active process; a second one stands by.

Knows the timetable. Does not know how a job is done: each is a function of the historian.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

from historian import upkeep
from historian.compression import compress_days
from historian.events import forget_event_batches
from historian.lease import Lease
from historian.rollup import roll_up
from scada.clock import now_us
from scada.config import Config, HttpConfig
from scada.hmi.door import StateDoor, write_last_state
from scada.meterjobs import forget_gaps, group_outages, keep_snapshots
from scada.model.errors import StoreError
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints

log = logging.getLogger(__name__)

NAME = "jobs"
LEASE = "scada jobs"
LEASE_TRIED_EVERY_S = 2.0
SETTLED_AFTER = timedelta(hours=2)
"""A day of readings is closed this long after its end: by then most late ones are in, and later ones still fit."""

COMPRESSED_AFTER = timedelta(days=40)
"""By then the month is billed; what comes still later is rare, and only slower to store."""

SPOOL_MAY_LIE = timedelta(days=60)
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of the timetable; ``work`` returns what it did, in a sentence."""

    name: str
    at: BaseTrigger
    work: Callable[[], str]


@dataclass(slots=True)
class _Outcome:
    ended: int = 0
    failed: bool = False
    sentence: str = "has not run yet"


def timetable(config: Config, dsn: str, now: Callable[[], int]) -> tuple[Job, ...]:
    """The jobs of this version, in local time."""
    zone = ZoneInfo(config.time_zone)
    keep = config.historian
    return (
        Job(
            "close days",
            CronTrigger(hour="2-23/3", minute=10, timezone=zone),
            lambda: _counted("days indexed by meter", upkeep.close_days(dsn, now() - _us(SETTLED_AFTER))),
        ),
        Job(
            "retention of samples",
            CronTrigger(hour=3, minute=20, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.SAMPLE, keep.keep_sample_days, now),
        ),
        Job("rollups", CronTrigger(second=8, timezone=zone), partial(_roll_up, dsn, keep.keep_sample_days, now)),
        Job(
            "retention of minutes",
            CronTrigger(hour=3, minute=22, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.SAMPLE_MINUTE, keep.keep_minute_days, now),
        ),
        Job(
            "retention of hours",
            CronTrigger(hour=3, minute=24, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.SAMPLE_HOUR, keep.keep_hour_days, now),
        ),
        Job(
            "retention of events",
            CronTrigger(hour=3, minute=26, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.STATUS_EVENT, keep.keep_event_days, now),
        ),
        Job(
            "retention of readings",
            CronTrigger(hour=3, minute=30, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.READING, keep.keep_reading_days, now),
        ),
        Job(
            "retention of meter events",
            CronTrigger(hour=3, minute=40, timezone=zone),
            partial(_retain, dsn, upkeep.Hypertable.METER_EVENT, keep.keep_reading_days, now),
        ),
        Job(
            "registers at midnight",
            CronTrigger(hour="0-8/2", minute=25, timezone=zone),
            partial(keep_snapshots, dsn, zone, now),
        ),
        Job(
            "compression of readings",
            CronTrigger(hour=4, minute=10, timezone=zone),
            partial(_compress, dsn, now),
        ),
        Job("outages", CronTrigger(second=30, timezone=zone), partial(group_outages, dsn, now)),
        Job(
            "forget gaps",
            CronTrigger(hour=3, minute=45, timezone=zone),
            partial(forget_gaps, dsn, config.head_end.capture_period_s, now),
        ),
        Job(
            "forget batch numbers",
            CronTrigger(hour=3, minute=50, timezone=zone),
            partial(_forget_batches, dsn, now),
        ),
    )


class Timetable:
    """Runs ``jobs`` while active, one at a time."""

    def __init__(self, jobs: tuple[Job, ...]) -> None:
        self._jobs = jobs
        self._outcomes = {job.name: _Outcome() for job in jobs}
        self._scheduler: BackgroundScheduler | None = None

    @property
    def active(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._scheduler is not None

    def start(self) -> None:
        """Begin, with every job once now: what was due while nobody was active is caught up."""
        scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        for job in self._jobs:
            scheduler.add_job(
                partial(self._do, job),
                job.at,
                id=job.name,
                coalesce=True,
                misfire_grace_time=3600,
                next_run_time=datetime.now(UTC),
            )
        scheduler.start()
        self._scheduler = scheduler

    def stop(self) -> None:
        """Wait for the job under way and end."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
            self._scheduler = None

    def state(self) -> list[dict[str, Any]]:
        """Each job: when it runs next (µs UTC or None), when it ended last (0 = never) and what came of it."""
        return [
            {
                "name": job.name,
                "next_run": self._next_run(job.name),
                "ended": self._outcomes[job.name].ended,
                "failed": self._outcomes[job.name].failed,
                "outcome": self._outcomes[job.name].sentence,
            }
            for job in self._jobs
        ]

    def _next_run(self, name: str) -> int | None:
        entry = self._scheduler.get_job(name) if self._scheduler is not None else None
        return int(entry.next_run_time.timestamp() * 1e6) if entry is not None and entry.next_run_time else None

    def _do(self, job: Job) -> None:
        bug: Exception | None = None
        try:
            sentence, failed = job.work(), False
        except StoreError as error:
            sentence, failed = str(error), True
        except Exception as error:  # the scheduler would go on, and the state tell of the last time that went well
            sentence, failed, bug = f"a fault of ours: {type(error).__name__}: {error}", True, error
        log.log(logging.WARNING if failed else logging.INFO, "Job %s: %s", job.name, sentence, exc_info=bug)
        self._outcomes[job.name] = _Outcome(now_us(), failed, sentence)


async def jobs(config: Config, endpoints: Endpoints, stop: asyncio.Event) -> None:
    """Work by the timetable while holding the lease; without it stand by, until ``stop`` is set."""
    table = Timetable(timetable(config, endpoints.postgres_dsn, now_us))
    since = now_us()

    def state(_: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {
            "process": NAME,
            "pid": os.getpid(),
            "since": since,
            "now": now_us(),
            "active": table.active,
            "jobs": table.state(),
        }

    async with StateDoor(NAME, {"/api/v1/state": state}, HttpConfig(config.http.host), config.var):
        if await bring_up_to_date(endpoints.postgres_dsn, stop):
            with Lease(endpoints.postgres_dsn, LEASE) as lease:
                await _stand_by_and_work(lease, table, stop)
        await asyncio.to_thread(table.stop)
    write_last_state(config.var, NAME, state())


async def _stand_by_and_work(lease: Lease, table: Timetable, stop: asyncio.Event) -> None:
    while not stop.is_set():
        held = await asyncio.to_thread(lease.hold)
        if held and not table.active:
            log.info("Jobs: active")
            table.start()
        elif table.active and not held:
            log.warning("Jobs: the lease is lost; standing by")
            await asyncio.to_thread(table.stop)
        try:
            async with asyncio.timeout(LEASE_TRIED_EVERY_S):
                await stop.wait()
        except TimeoutError:
            continue


def _roll_up(dsn: str, keep_sample_days: int, now: Callable[[], int]) -> str:
    return str(roll_up(dsn, now(), keep_samples_since=now() - keep_sample_days * DAY_US))


def _forget_batches(dsn: str, now: Callable[[], int]) -> str:
    before = now() - _us(SPOOL_MAY_LIE)
    forgotten = upkeep.forget_sample_batches(dsn, before) + forget_event_batches(dsn, before)
    return f"{forgotten} batch numbers forgotten"


def _retain(dsn: str, table: upkeep.Hypertable, days: int, now: Callable[[], int]) -> str:
    return _counted(f"chunks of {table} dropped", upkeep.drop_before(dsn, table, now() - days * DAY_US))


def _compress(dsn: str, now: Callable[[], int]) -> str:
    done = compress_days(dsn, now() - _us(COMPRESSED_AFTER))
    return f"{len(done.days)} days compressed" if done.allowed else "this edition of TimescaleDB has no compression"


def _counted(what: str, names: tuple[str, ...]) -> str:
    return f"{len(names)} {what}"


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
