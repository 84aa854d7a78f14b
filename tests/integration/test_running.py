"""``scada run`` as a coroutine: it starts without the database, tells its state, and ends with nothing in memory."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from historian.migrate import MigrationError
from historian.spool import Spool
from scada.clock import now_us
from scada.config import HttpConfig
from scada.control.movement import MovementWatch
from scada.control.recovery import begin
from scada.control.tenure import Tenure, Watch, read_heartbeat, segments, take
from scada.controlling import take_control
from scada.files import Installation, load_installation
from scada.hmi.door import DoorTaken
from scada.model.cause import Cause
from scada.model.errors import StoreRejected
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from scada.running import ControlRoom, NothingOperated, _stand_by, run
from scada.services.endpoints import Endpoints

# The load flow's native library dies with the thread that loaded it first, and every run here has a thread of its own.
assert import_module("scada.control.whatif")

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Two stations, one of each protocol, at ports where nobody listens."""
    text = f'var = "var"\n[stations]\nfolder = "{ROOT / "substations"}"\nonly = ["TN07", "TN13"]\nbase_port = 10\n'
    (tmp_path / "config.toml").write_text(text + "[scan]\nsilent_scans = 1\nreconnect_min_s = 0.1\n", encoding="utf-8")
    return load_installation(tmp_path / "config.toml")


def at(endpoints: Endpoints, dsn: str) -> Endpoints:
    return replace(endpoints, postgres_dsn=dsn, postgres_reader_dsn=dsn)


class Room:
    """A running ``scada run``, asked over its door."""

    def __init__(self, installation: Installation, task: asyncio.Task[None]) -> None:
        self._var = installation.config.var
        self.task = task

    async def ask(self, path: str = "/api/v1/state") -> tuple[int, dict[str, Any]]:
        place = self._var / "run" / "run.json"
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while not place.exists():  # noqa: ASYNC110  # the file is how others find it too
                await asyncio.sleep(0.01)
            answer = await client.get(json.loads(place.read_text())["url"] + path)
            return answer.status_code, answer.json()

    async def state_when(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first state seen that meets the condition."""
        async with asyncio.timeout(90):
            while True:
                _, state = await self.ask()
                if condition(state):
                    return state
                await asyncio.sleep(0.02)

    def last_state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self._var / "run" / "run.last.json").read_text())
        return state


def points_of(installation: Installation) -> int:
    return sum(len(station.points) for station in installation.stations)


def both_are_lost(state: dict[str, Any]) -> bool:
    return [each["state"] for each in state["stations"]] == ["lost", "lost"]


@asynccontextmanager
async def running(installation: Installation, endpoints: Endpoints) -> AsyncIterator[Room]:
    stop = asyncio.Event()
    room = Room(installation, asyncio.create_task(run(installation, endpoints, stop)))
    try:
        yield room
    finally:
        stop.set()
        await room.task


async def test_the_state_names_every_station_and_figure(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    async with running(installation, at(endpoints, database)) as room:
        state = await room.state_when(both_are_lost)
    assert state["process"] == "run"
    assert state["points"] >= points_of(installation)
    assert [(each["code"], each["protocol"], each["points"]) for each in state["stations"]] == [
        ("TN07", "modbus", len(installation.stations[0].points)),
        ("TN13", "opcua", len(installation.stations[1].points)),
    ]
    assert state["stations"][0]["title_vi"].startswith("Trạm")
    assert state["samples"].keys() >= {"offered", "stored", "spooled", "waiting", "rejected", "dropped", "last_error"}


async def test_a_point_never_heard_of_is_invalid_and_an_unknown_station_is_said_to_be_none(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    async with running(installation, at(endpoints, database)) as room:
        status, answer = await room.ask("/api/v1/stations/TN13/points")
        assert (status, answer["station"]) == (200, "TN13")
        names = {point.name for point in installation.stations[1].points}
        assert names <= {row["name"] for row in answer["points"]}
        never_heard = [row for row in answer["points"] if row["time"] == 0]
        assert all(row["quality"] == Quality.INVALID | Quality.NOT_TOPICAL for row in never_heard)
        assert await room.ask("/api/v1/stations/TN99/points") == (404, {"error": "no station 'TN99' here"})


async def test_lost_stations_are_stored_as_doubtful_and_the_end_leaves_nothing_in_memory(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    async with running(installation, at(endpoints, database)) as room:
        await room.state_when(both_are_lost)
    assert not (installation.config.var / "run" / "run.json").exists()
    last = room.last_state()
    samples = last["samples"]
    assert last["image"]["reported"] == samples["offered"] == samples["stored"] >= points_of(installation)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM sample").fetchone() == (samples["stored"],)
        of_field = [point.name for station in installation.stations for point in station.points]
        good = "SELECT count(*) FROM sample JOIN point ON id = point WHERE quality = 0 AND name = ANY(%s)"
        assert connection.execute(good, [of_field]).fetchone() == (0,)
        shown = sum(len(station.shown_points) for station in installation.stations)
        assert connection.execute("SELECT count(*) FROM point").fetchone() == (shown,)


async def test_without_a_database_it_scans_tells_its_state_and_spools(
    installation: Installation, endpoints: Endpoints
) -> None:
    async with running(installation, at(endpoints, NOWHERE)) as room:
        await room.state_when(both_are_lost)
    samples = room.last_state()["samples"]
    assert samples["offered"] == samples["spooled"] >= points_of(installation)
    assert (samples["stored"], samples["waiting"], samples["dropped"]) == (0, 0, 0)
    spool = Spool(installation.config.var / "spool", limit_bytes=2**30)
    assert spool.rows == samples["spooled"]
    spool.close()


async def test_what_an_earlier_run_spooled_is_stored_by_the_next_one(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    async with running(installation, at(endpoints, NOWHERE)) as room:
        await room.state_when(both_are_lost)
    spooled = room.last_state()["samples"]["spooled"]
    async with running(installation, at(endpoints, database)) as room:
        await room.state_when(lambda state: state["samples"]["spooled"] == 0)
    samples = room.last_state()["samples"]
    assert (samples["recovered"], samples["stored"]) == (spooled, spooled + samples["offered"])


async def test_a_database_of_another_version_is_one_refusal_and_what_was_scanned_is_kept(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO schema_migration (name, sha256) VALUES ('9999_from_tomorrow.sql', 'x')")
    with pytest.raises(MigrationError, match=r"9999_from_tomorrow\.sql was applied to this database"):
        async with running(installation, at(endpoints, database)) as room:
            await room.task


async def test_a_point_renumbered_in_the_files_is_one_refusal(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    with psycopg.connect(database) as connection:
        name = installation.stations[0].points[0].name
        connection.execute(
            "INSERT INTO point (id, name, station, bay, kind, unit, title_vi, title_en)"
            " VALUES (1, %s, 'TN07', 'C11', 'single_point', '', '', '')",
            (name,),
        )
    with pytest.raises(StoreRejected):
        async with running(installation, at(endpoints, database)) as room:
            await room.task


async def test_a_taken_port_is_told_before_any_station_is_asked(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = HttpConfig(port=taken.getsockname()[1])
        busy = replace(installation, config=replace(installation.config, http=http))
        with pytest.raises(DoorTaken, match=r"set http\.port in config\.toml"):
            await run(busy, at(endpoints, database), asyncio.Event())


async def test_a_file_where_the_spool_belongs_does_not_stop_the_scan(
    installation: Installation, endpoints: Endpoints, database: str
) -> None:
    installation.config.var.mkdir()
    (installation.config.var / "spool").write_text("in the way", encoding="utf-8")
    async with running(installation, at(endpoints, database)) as room:
        await room.state_when(both_are_lost)
    samples = room.last_state()["samples"]
    assert samples["offered"] == samples["stored"] > 0


async def test_a_journal_that_cannot_be_continued_leaves_stations_to_look_at_and_nothing_to_operate(
    installation: Installation, endpoints: Endpoints
) -> None:
    folder = installation.config.var / "control"
    tenure = take(folder, time.monotonic)
    assert tenure is not None
    journal, _ = begin(folder, tenure, 0)
    journal.close(0)
    tenure.release()
    path = segments(folder)[0]
    path.write_bytes(path.read_bytes().replace(b'"token": 1', b'"token": 7').replace(b'"token":1', b'"token":7'))
    with pytest.raises(NothingOperated, match="line 1: its content was changed"):
        async with running(installation, at(endpoints, NOWHERE)) as room:
            state = await room.state_when(both_are_lost)
            assert (state["control"], "scada journal set-aside" in state["no_desk"]) == (None, True)
            status, answer = await room.ask("/api/v1/control/alarms")
            assert (status, answer) == (503, {"error": state["no_desk"]})
            assert (await room.ask("/api/v1/stations/TN13/points"))[0] == 200
            assert Watch(folder, time.monotonic).holder() is None
    assert room.last_state()["samples"]["spooled"] >= points_of(installation)


async def test_what_the_desk_has_read_reaches_the_image_and_holds_against_the_scan_of_its_station(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = ControlRoom(installation)
    told: dict[str, list[int]] = {scan.code: [] for scan in room.scans}
    for scan in room.scans:
        monkeypatch.setattr(scan, "supersede", lambda points, code=scan.code: told[code].extend(points.tolist()))
    position = room.points["TN13/471/471.position"]
    room.take_past_the_scan(
        samples(np.array([position.id], dtype=np.int32), 5, np.array([1.0]), 0, Cause.RETURN_INFORMATION_REMOTE)
    )
    assert room.image.read([position.name])["value"].tolist() == [1.0]
    assert told == {"TN07": [], "TN13": [position.id]}


async def test_a_standby_that_took_control_beats_while_it_takes_leave_of_its_stations(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second standby would take it for dead, and take control from it."""
    folder = installation.config.var / "control"
    begun = asyncio.Event()
    beats: list[int] = []

    async def scan_with_a_long_leave(_scans: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    while len(beats) < 3:
                        heard = read_heartbeat(folder)
                        beats.extend([heard.beat] if heard is not None and heard.beat not in beats else [])
                        await asyncio.sleep(0.02)

    async def take_later(*args: Any, **more: Any) -> Tenure | None:
        await begun.wait()
        return await take_control(*args, **more)

    monkeypatch.setattr("scada.running.scan_stations", scan_with_a_long_leave)
    monkeypatch.setattr("scada.running.take_control", take_later)
    assert await _stand_by(installation, ControlRoom(installation), asyncio.Event()) is not None
    assert beats[:3] == [1, 2, 3]


async def test_the_first_movement_after_a_standby_took_control_is_told(installation: Installation) -> None:
    """Its image was warm before there was a desk to tell: the desk begins with what is shown."""
    room = ControlRoom(installation)
    position = room.points["TN13/471/471.position"]

    def shown(value: float) -> SampleArray:
        return samples(np.array([position.id], dtype=np.int32), now_us(), np.array([value]), 0, Cause.SPONTANEOUS)

    room.take(shown(2.0))
    watch = MovementWatch(installation.stations)
    told: list[str] = []
    desk = SimpleNamespace(observe=lambda delta: told.extend(each[2] for each in watch.moved(delta, 0.0)))
    room.desk = SimpleNamespace(desk=desk)  # type: ignore[assignment]  # all that is asked of it here
    room.take_over(SimpleNamespace(offer=lambda _: None))  # type: ignore[arg-type]  # as above
    assert told == []
    room.take(shown(1.0))
    assert told == ["TN13/471 moved to open without a command"]
