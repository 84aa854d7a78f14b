"""Claims about ``scada points --verify``: a fitting map is silent, a wrong one is named, nothing is written."""

import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from scada.clock import now_us
from scada.model.errors import LinkError
from scada.model.station import Province, Station
from scada.stationfile import load_province
from simulators.address_space import Nodes, standard_nodes
from simulators.field import Field, FieldPlan
from simulators.field import load_maps as simulator_maps
from simulators.grid_solver import GridSolver
from simulators.plant import Plant
from substations.adapters import Maps, load_maps, verify
from substations.verification import Verification, Weight

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).resolve().parents[2] / "substations"
MODBUS, OPCUA = "TN07", "TN13"


@cache
def province() -> Province:
    return load_province(FOLDER)


@cache
def shared() -> Nodes:
    return standard_nodes()


@asynccontextmanager
async def simulated(code: str) -> AsyncIterator[Station]:
    """The station with its shipped maps, answering on a free port."""
    station = next(each for each in province().stations if each.code == code)
    station = replace(station, endpoint=replace(station.endpoint, host="127.0.0.1", port=0, timeout_s=30.0))
    plan = FieldPlan((station,), simulator_maps(FOLDER, (station,)))
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    async with Field(plan, plant, shared=shared()) as field:
        yield replace(station, endpoint=replace(station.endpoint, port=field.ports[code]))


def changed_maps(folder: Path, name: str, *changes: tuple[str, str]) -> Maps:
    """The shipped maps with changes in one of them."""
    copied = folder / "maps"
    shutil.copytree(FOLDER / "maps", copied)
    text = (copied / name).read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    (copied / name).write_text(text, encoding="utf-8")
    return load_maps(copied)


def faults(found: Verification) -> list[tuple[str, str]]:
    return [(each.where, each.sentence) for each in found.findings if each.weight is Weight.FAULT]


async def test_the_shipped_maps_fit_a_modbus_station_and_a_wrong_word_order_is_found(tmp_path: Path) -> None:
    async with simulated(MODBUS) as station:
        fitting = await verify(station, load_maps(FOLDER / "maps"), now_us)
        wrong = changed_maps(
            tmp_path, "line_110.modbus.toml", ('type = "float32"\norder = "ABCD"', 'type = "float32"\norder = "CDAB"')
        )
        found = await verify(station, wrong, now_us)
    assert faults(fitting) == []
    assert fitting.checked == len(station.points)
    named = [sentence for _, sentence in faults(found) if "the map's order is wrong" in sentence]
    assert named
    assert all("order CDAB makes" in sentence and "ABCD only 0" in sentence for sentence in named)


async def test_a_register_the_device_does_not_have_is_named_and_its_neighbours_are_judged(tmp_path: Path) -> None:
    """The last feeder's map has one total behind the end of the device; the read that holds it holds other bays too."""
    moved = changed_maps(
        tmp_path,
        "feeder_22.modbus.toml",
        ('"reactive_energy_export", offset = 10', '"reactive_energy_export", offset = 40'),
    )
    maps = load_maps(FOLDER / "maps")
    maps = replace(maps, registers={**maps.registers, "moved.modbus": moved.registers["feeder_22.modbus"]})
    async with simulated(MODBUS) as station:
        last = max(station.bays, key=lambda bay: bay.base)
        bays = tuple(replace(each, map="moved.modbus") if each is last else each for each in station.bays)
        found = await verify(replace(station, bays=bays), maps, now_us)
    ((where, sentence),) = faults(found)
    assert (last.bay_type, where) == ("feeder_22", f"TN07/{last.name}/reactive_energy_export")
    assert sentence.endswith("illegal data address")
    assert found.checked == len(station.points)


async def test_the_shipped_maps_fit_an_opcua_station_and_wrong_nodes_and_types_are_found(tmp_path: Path) -> None:
    async with simulated(OPCUA) as station:
        fitting = await verify(station, load_maps(FOLDER / "maps"), now_us)
        wrong = changed_maps(
            tmp_path,
            "line_110.opcua.toml",
            ("MMXU1.Hz.mag.f", "MMXU1.Hertz.mag.f"),
            ('type = "uint32"', 'type = "int32"'),
            ('source = "s={station}/{bay}"', 'source = "s={station}/{bay}/relay"'),
        )
        found = await verify(station, wrong, now_us)
    assert faults(fitting) == []
    assert fitting.checked == len(station.points)
    lines = sum(each.bay_type == "line_110" for each in station.bays)
    sentences = [sentence for _, sentence in faults(found)]
    assert sum(each.startswith("node ") and "BadNodeIdUnknown" in each for each in sentences) == lines
    assert sum(each.startswith("source of conditions") for each in sentences) == lines
    assert sum("is uint32 at the server, int32 in the map" in each for each in sentences) == 5 * lines
    notes = [each for each in found.findings if each.weight is Weight.NOTE and "in no map" in each.sentence]
    assert len(notes) == lines
    assert all("MMXU1.Hz.mag.f" in each.where for each in notes)


@pytest.mark.parametrize("code", [MODBUS, OPCUA])
async def test_a_station_that_is_not_there_is_one_sentence(code: str) -> None:
    station = next(each for each in province().stations if each.code == code)
    station = replace(station, endpoint=replace(station.endpoint, host="127.0.0.1", port=1))
    with pytest.raises(LinkError, match=r"127\.0\.0\.1:1"):
        await verify(station, load_maps(FOLDER / "maps"), now_us)


def test_the_station_is_asked_where_the_configuration_says_it_answers(tmp_path: Path) -> None:
    """Nobody listens there: one sentence with that address, and no second one from the library."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_port = taken.getsockname()[1] - 7
        config = tmp_path / "config.toml"
        config.write_text(f'[stations]\nfolder = "{FOLDER}"\nbase_port = {base_port}\n', encoding="utf-8")
        scada = [str(Path(sys.executable).parent / "scada"), "--config", str(config), "points", MODBUS, "--verify"]
        told = subprocess.run(scada, check=False, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"cannot connect to 127.0.0.1:{base_port + 7}\n"
