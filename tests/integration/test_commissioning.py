"""The point-to-point test against a simulator in another process, and the history of substitutions in the database."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from historian.overrides import record_overrides
from scada import commissioning
from scada.commissioning import NotTested, simulated, walk
from scada.model.override import OverrideAct, OverrideAction
from scada.model.station import Station
from scada.pointtest import Verdict
from scada.stationfile import load_province
from substations.adapters import Maps, load_maps

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "substations"
NOON = 1_767_268_800_000_000


def station(code: str) -> Station:
    found = next(each for each in load_province(FOLDER).stations if each.code == code)
    return replace(found, endpoint=replace(found.endpoint, timeout_s=30.0))


def with_scale_doubled(maps: Maps, name: str, point: str) -> Maps:
    """The centre's maps with one wrong scale: the simulator keeps the right one."""
    right = maps.registers[name]
    blocks = tuple(
        replace(block, points=tuple(replace(p, scale=p.scale * 2) if p.name == point else p for p in block.points))
        for block in right.block
    )
    return replace(maps, registers={**maps.registers, name: replace(right, block=blocks)})


async def test_a_wrong_scale_at_the_centre_fails_in_every_bay_that_uses_the_map_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The simulator says when its registers hold a round: what they do not show then, they never will.
    monkeypatch.setattr(commissioning, "SEEN_WITHIN_S", 0.0)
    tested = station("TN05")
    maps = with_scale_doubled(load_maps(FOLDER / "maps"), "feeder_22.modbus", "current_l1")
    steps: list[int] = []
    with simulated(tested, FOLDER) as device:
        verdicts = await walk(device, maps, tested.points, lambda done, of: steps.append(of - done))
    failed = [each.point.name for each in verdicts if each.verdict is Verdict.FAIL]
    assert failed == [f"TN05/{bay.name}/current_l1" for bay in tested.bays if bay.bay_type == "feeder_22"]
    assert len(verdicts) == len(tested.points)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0


def test_a_simulator_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(NotTested, match=r"the simulator did not start: .*no stations in"),
        simulated(station("TN05"), tmp_path),
    ):
        raise AssertionError("it started")


def test_an_act_is_written_down_once_however_often_it_is_sent(database: str) -> None:
    number = "00000000-0000-0000-0000-000000000001"
    act = OverrideAct(number, NOON, "a", OverrideAction.SUBSTITUTE, 1.5, "an account", "why", NOON + 5)
    for _ in range(2):
        record_overrides(database, [act], {"a": 7})
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT point, action, value, originator, why FROM point_override").fetchall()
    assert rows == [(7, "substitute", 1.5, "an account", "why")]
