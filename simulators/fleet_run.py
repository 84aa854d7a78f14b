"""The fleet as a program of its own, or as a part of the field: built from a plan, run until told to stop.

Knows the order of things. Does not know messages or meters.
"""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path

from scada.model.errors import ConfigurationError, Fault
from scada.model.station import Province
from simulators.fleet_mqtt import FleetPublisher
from simulators.fleet_scenario import load_scenario
from simulators.meter_fleet import DIRECT_SHARE, Fleet, feeders_of, make_fleet
from simulators.registry_file import write_exchanges, write_truth
from simulators.state_file import STATE_EVERY_S, write_json


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Which fleet, and where it reports."""

    meters: int
    seed: int
    host: str
    port: int
    user: str
    capture_period_s: int = 60
    truth_file: Path | None = None
    scenario: str = ""
    """Name of a shipped scenario, or path of a file; '' = nothing goes wrong."""
    exchange_file: Path | None = None
    """Where fitters write down the meters they exchange."""


def make_publisher(plan: FleetPlan, province: Province, password: str) -> FleetPublisher:
    """The fleet behind the province's feeders, not yet started. Raises ConfigurationError."""
    fleet = fleet_of(province, meters=plan.meters, seed=plan.seed)
    faults = load_scenario(plan.scenario).fault if plan.scenario else ()
    try:
        return FleetPublisher(
            fleet,
            plan.host,
            plan.port,
            plan.user,
            password,
            capture_period_s=plan.capture_period_s,
            faults=faults,
        )
    except ValueError as error:
        raise ConfigurationError([Fault("fleet", "", str(error))]) from error


def fleet_of(province: Province, *, meters: int, seed: int, own_connections: bool = False) -> Fleet:
    """The meters behind the province's feeders. Raises ConfigurationError when there cannot be as many.

    own_connections: all have their own modem, none is behind a concentrator.
    """
    share = 1.0 if own_connections else DIRECT_SHARE
    try:
        return make_fleet(feeders_of(province), meters=meters, seed=seed, direct_share=share)
    except ValueError as error:
        raise ConfigurationError([Fault("fleet", "--meters", str(error))]) from error


def tell_truth(publisher: FleetPublisher, path: Path) -> None:
    """What must be in the historian now: in sum in ``path`` (JSON), meter by meter beside it (CSV).

    readings: how many · first_end, last_end: the first and last interval ends among them, µs UTC.
    """
    truth = publisher.truth()
    write_truth(truth, path.with_suffix(".csv"))
    write_json(
        path,
        {
            "readings": int(truth.readings.sum()),
            "first_end": truth.first_end,
            "last_end": int(truth.last_acknowledged.max(initial=0)),
            "meters": int((truth.readings > 0).sum()),
        },
    )


def tell_exchanges(publisher: FleetPublisher, path: Path) -> None:
    """What fitters have written down so far, as ``scada meters exchange`` reads it; no file before the first."""
    if exchanged := publisher.exchanged():
        write_exchanges(publisher.fleet, exchanged, path)


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
            if plan.exchange_file is not None:
                tell_exchanges(publisher, plan.exchange_file)
            try:
                async with asyncio.timeout(STATE_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        stats = await asyncio.to_thread(publisher.stop)
        if plan.truth_file is not None:
            tell_truth(publisher, plan.truth_file)
        if state_file is not None:
            write_json(state_file, {"readings": asdict(stats)})
