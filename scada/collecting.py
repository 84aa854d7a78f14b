"""``scada collect``: the head-end as a process.

Knows which store, broker and clock the head-end gets and where its state is told. Does not know meters.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from historian.store import HistorianStore
from meters.connection import Broker
from meters.headend import HeadEnd
from scada.clock import now_us
from scada.config import Config
from scada.hmi.door import StateDoor, write_last_state
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints, Role

NAME = "collect"


async def collect(config: Config, endpoints: Endpoints, stop: asyncio.Event) -> None:
    """Read meters until ``stop`` is set; everything received is then either stored or still with the broker.

    Raises OSError when the state door's port is taken, MigrationError when the database is of another version.
    """
    credential = endpoints.mqtt_credentials[Role.HEADEND]
    broker = Broker(endpoints.mqtt_host, endpoints.mqtt_port, credential.username, credential.password)
    settings = config.head_end
    with HistorianStore(
        endpoints.postgres_dsn, worker=settings.client_id, clock=now_us, quarantine_limit=settings.quarantine_rows
    ) as store:
        head_end = HeadEnd(settings, broker, store, store, now_us, ZoneInfo(config.time_zone))
        since = now_us()

        def state(_: Mapping[str, str] | None = None) -> dict[str, Any]:
            return {
                "process": NAME,
                "pid": os.getpid(),
                "since": since,
                "now": now_us(),
                "capture_period_s": settings.capture_period_s,
                "readings": asdict(head_end.stats()),
            }

        async with StateDoor(NAME, {"/api/v1/state": state}, config.http, config.var):
            if await bring_up_to_date(endpoints.postgres_dsn, stop):
                await asyncio.to_thread(head_end.start)
                await stop.wait()
                await asyncio.to_thread(head_end.stop)
        write_last_state(config.var, NAME, state())
