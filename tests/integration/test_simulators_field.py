"""Claims about the field as a whole: the meters behind an opened feeder are told when it died."""

import asyncio
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from scada.clock import now_us
from scada.model.station import Province
from scada.stationfile import load_province
from simulators.field import Field, FieldPlan, load_maps
from simulators.fleet_mqtt import FleetPublisher
from simulators.grid_solver import GridSolver
from simulators.plant import Plant

pytestmark = pytest.mark.integration

SUBSTATIONS = Path(__file__).resolve().parents[2] / "substations"


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


class Meters:
    """Stands for the fleet: notes what it is told of feeders."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bool]] = []
        self.heard = asyncio.Event()
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self, *, drain_s: float) -> None:
        self.running = False

    def feeder_state(self, feeder: str, now: int, *, energised: bool) -> None:
        self.told.append((feeder, now, energised))
        self.heard.set()


async def test_the_meters_of_an_opened_feeder_are_told_when_it_died() -> None:
    station = replace(province().stations[6], endpoint=replace(province().stations[6].endpoint, port=0))
    plan = FieldPlan((station,), load_maps(SUBSTATIONS, (station,)), period_s=5.0)
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    meters = Meters()
    async with Field(plan, plant, cast(FleetPublisher, meters)) as field:
        ordered_at = now_us()
        assert field.order("TN07/473/473.operate", "open", ordered_at) is None
        async with asyncio.timeout(60.0):
            await meters.heard.wait()
        assert meters.running
    assert meters.told == [("TN07/473", ordered_at + 60_000, False)]
    assert not meters.running
