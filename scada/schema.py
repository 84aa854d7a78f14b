"""Brings the historian's schema up to date as soon as the database answers.

Knows when to try again. Does not know what is applied.
"""

import asyncio
import contextlib
import logging

from historian.migrate import migrate
from scada.model.errors import StoreUnavailable

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_LAST_S = 0.5, 10.0


async def bring_up_to_date(dsn: str, stop: asyncio.Event) -> bool:
    """Migrate; while the database is away try again until ``stop`` is set. True when the schema is the present one.

    Raises MigrationError when database and program do not belong together.
    """
    pause = RETRY_FIRST_S
    while not stop.is_set():
        try:
            await asyncio.to_thread(migrate, dsn)
        except StoreUnavailable as error:
            if pause == RETRY_FIRST_S:
                log.warning("Historian schema not checked yet: %s; trying until the database answers", error)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        pause = min(pause * 2, RETRY_LAST_S)
    return False
