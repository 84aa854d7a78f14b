"""The state door answers on loopback, says where, and is gone afterwards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from scada.config import HttpConfig
from scada.hmi.door import StateDoor
from scada.hmi.processes import Process, ProcessSilent, ask, processes


def one_station(parameters: Mapping[str, str]) -> Any:
    if parameters["code"] != "TN07":
        raise KeyError(f"no station {parameters['code']}")
    return {"code": "TN07"}


ANSWERS = {"/api/v1/state": lambda _: {"process": "run", "pid": 4}, "/api/v1/stations/{code}": one_station}


async def test_the_door_says_where_it_is_and_closes(tmp_path: Path) -> None:
    async with StateDoor("run", ANSWERS, HttpConfig(), tmp_path) as door:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{door.url}/api/v1/stations/TN07")).json() == {"code": "TN07"}
            missing = await client.get(f"{door.url}/api/v1/stations/TN99")
            assert (missing.status_code, missing.json()) == (404, {"error": "no station TN99"})
        assert (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "run.json").exists()


async def test_a_folder_that_cannot_be_written_does_not_close_the_door(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file stands where the folder belongs")
    async with (
        StateDoor("run", ANSWERS, HttpConfig(), tmp_path) as door,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        assert (await client.get(f"{door.url}/api/v1/state")).status_code == 200


def test_a_process_that_does_not_run_is_said_to_be_silent(tmp_path: Path) -> None:
    with pytest.raises(ProcessSilent, match="scada run is not running"):
        ask(tmp_path, "run")
    assert [(each.name, each.state) for each in processes(tmp_path)] == [
        ("run", None),
        ("collect", None),
        ("jobs", None),
    ]


def test_a_place_nobody_answers_at_is_said_to_be_silent(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"name": "run", "pid": 1, "url": "http://127.0.0.1:9"}')
    first = processes(tmp_path)[0]
    assert first == Process("run", None, None, first.why)
    assert first.why.startswith("scada run does not answer at http://127.0.0.1:9:")


def test_a_damaged_place_file_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(ProcessSilent, match="cannot be read"):
        ask(tmp_path, "run")
