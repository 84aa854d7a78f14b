"""The fleet as a program of its own, or as a part of the field: built from a plan, run until told to stop.

Knows the order of things. Does not know messages or meters.
"""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path

from scada.model.errors import ConfigurationError, Fault
from scada.model.station import Province
from simulators.field import STATE_EVERY_S, write_json
from simulators.fleet_mqtt import FleetPublisher
from simulators.meter_fleet import feeders_of, make_fleet
from simulators.registry_file import write_registry, write_truth


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Which fleet, and where it reports. Files are written when their path is given."""

    meters: int
    seed: int
    host: str
    port: int
    user: str
    capture_period_s: int = 60
    registry_file: Path | None = None
    truth_file: Path | None = None


def make_publisher(plan: FleetPlan, province: Province, password: str) -> FleetPublisher:
    """The fleet behind the province's feeders, not yet started; its registry is written first.

    Raises ConfigurationError when a figure is impossible, OSError when the registry cannot be written.
    """
    try:
        fleet = make_fleet(feeders_of(province), meters=plan.meters, seed=plan.seed)
        publisher = FleetPublisher(
            fleet, plan.host, plan.port, plan.user, password, capture_period_s=plan.capture_period_s
        )
    except ValueError as error:
        raise ConfigurationError([Fault("fleet", "", str(error))]) from error
    if plan.registry_file is not None:
        plan.registry_file.parent.mkdir(parents=True, exist_ok=True)
        write_registry(fleet, plan.registry_file)
    return publisher


async def serve_fleet(
    plan: FleetPlan, publisher: FleetPublisher, stop: asyncio.Event, ready_file: Path | None, state_file: Path | None
) -> None:
    """Report until ``stop`` is set, then deliver what is owed and write the truth."""
    publisher.start()
    try:
        if ready_file is not None:
            write_json(ready_file, {"meters": plan.meters})
        while not stop.is_set():
            if state_file is not None:
                write_json(state_file, {"readings": asdict(publisher.stats())})
            try:
                async with asyncio.timeout(STATE_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        stats = await asyncio.to_thread(publisher.stop)
        if plan.truth_file is not None:
            write_truth(publisher.truth(), plan.truth_file)
        if state_file is not None:
            write_json(state_file, {"readings": asdict(stats)})
