"""``scada collect``: the head-end as a process.

Knows which store, broker and clock the head-end gets and where its state is told. Does not know meters.
"""

import asyncio
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from historian.routing import Router
from historian.store import HistorianStore
from meters.connection import Broker
from meters.headend import HeadEnd
from scada.clock import now_us
from scada.config import Config, HeadEndConfig, HttpConfig
from scada.garbage import leave_out_what_stands, rarely_looked_for
from scada.hmi.door import StateDoor, write_last_state
from scada.metertalk import MeterTalk
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints, Role

NAME = "collect"


async def collect(config: Config, endpoints: Endpoints, stop: asyncio.Event) -> None:
    """Read meters until ``stop`` is set; everything received is then either stored or still with the broker.

    Raises MigrationError when the database is of another version, and what a bug in the head-end raised.
    """
    credential = endpoints.mqtt_credentials[Role.HEADEND]
    broker = Broker(endpoints.mqtt_host, endpoints.mqtt_port, credential.username, credential.password)
    settings = config.head_end
    leave_out_what_stands()
    with ExitStack() as stack:
        stack.enter_context(rarely_looked_for())
        router = Router()
        stores = [stack.enter_context(_store(endpoints, settings, router)) for _ in range(settings.writers)]
        head_end = HeadEnd(settings, broker, stores, now_us, ZoneInfo(config.time_zone))
        talk = MeterTalk(settings, broker, endpoints.postgres_dsn, now_us)
        since = now_us()

        def state(_: Mapping[str, str] | None = None) -> dict[str, Any]:
            return {
                "process": NAME,
                "pid": os.getpid(),
                "since": since,
                "now": now_us(),
                "capture_period_s": settings.capture_period_s,
                "readings": asdict(head_end.stats()),
                "requests": asdict(talk.stats()),
            }

        async with StateDoor(NAME, {"/api/v1/state": state}, HttpConfig(config.http.host), config.var):
            try:
                if await bring_up_to_date(endpoints.postgres_dsn, stop):
                    await asyncio.to_thread(talk.start)
                    try:
                        await _read_until(stop, head_end)
                    finally:
                        await asyncio.to_thread(talk.stop)
            finally:
                head_end.stop()
        write_last_state(config.var, NAME, state())


def _store(endpoints: Endpoints, settings: HeadEndConfig, router: Router) -> HistorianStore:
    return HistorianStore(
        endpoints.postgres_dsn,
        worker=settings.client_id,
        clock=now_us,
        quarantine_limit=settings.quarantine_rows,
        router=router,
    )


async def _read_until(stop: asyncio.Event, head_end: HeadEnd) -> None:
    """The head-end in its own threads until ``stop``, or until a bug in one of them ends it, which is raised."""
    ending = threading.Event()
    reading = asyncio.create_task(asyncio.to_thread(head_end.run, ending), name="head-end")
    asked = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({reading, asked}, return_when=asyncio.FIRST_COMPLETED)
    ending.set()
    asked.cancel()
    await reading
