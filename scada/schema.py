"""Brings the historian up to date as soon as the database answers: its schema, and the names of the points.

Knows when to try again. Does not know what is applied.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from historian.migrate import migrate
from historian.store import HistorianStore
from scada.clock import now_us
from scada.model.errors import StoreUnavailable
from scada.model.point import Point

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_LAST_S = 0.5, 10.0


async def bring_up_to_date(dsn: str, stop: asyncio.Event, points: Sequence[Point] = ()) -> bool:
    """Migrate and write down ``points``; while the database is away try again until ``stop`` is set.

    True when all is done. Raises MigrationError when database and program do not belong together, StoreRejected when a
    point's name is taken by another id.
    """

    def bring() -> None:
        migrate(dsn)
        if points:
            with HistorianStore(dsn, worker="points", clock=now_us) as store:
                store.write_points(points)

    return await _until_available(bring, stop)


async def _until_available(step: Callable[[], None], stop: asyncio.Event) -> bool:
    pause = RETRY_FIRST_S
    while not stop.is_set():
        try:
            await asyncio.to_thread(step)
        except StoreUnavailable as error:
            if pause == RETRY_FIRST_S:
                log.warning("Historian not brought up to date yet: %s; trying until the database answers", error)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        pause = min(pause * 2, RETRY_LAST_S)
    return False
