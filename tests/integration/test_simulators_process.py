"""Claims about ``python -m simulators`` as a process: when it is ready, how it stops, what it refuses."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import simulators.__main__
from scada.clock import now_us
from scada.commands import pki
from scada.demo import free_base_port
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.station import Endpoint, Protocol
from scada.services.endpoints import Endpoints, Role
from scada.stationfile import load_province
from simulators.listening import listen
from substations.adapters import load_maps, open_link

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SUBSTATIONS = ROOT / "substations"
READY_WITHIN_S = 100.0


@contextmanager
def started(*words: str, password: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulators", *words],
        cwd=ROOT,
        env={**os.environ, "SCADA_FIELD_PASSWORD": password},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    end = time.monotonic() + READY_WITHIN_S
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"no {path.name} within {READY_WITHIN_S} s"
        time.sleep(0.05)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(number)
    out, errors = process.communicate(timeout=100)
    return process.returncode, out, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_station_alone_says_where_it_listens_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    ready, state = tmp_path / "ready.json", tmp_path / "state.json"
    words = ("station", "TN07", "--modbus-port", "0", "--ready-file", str(ready), "--state-file", str(state))
    with started(*words) as process:
        listening = wait_for(ready, process)
        code, out, errors = stopped(process, number)
    assert (code, errors) == (0, "")
    port = listening["stations"]["TN07"]["port"]
    points = next(len(each.points) for each in load_province(SUBSTATIONS).stations if each.code == "TN07")
    assert points > 600
    assert f"TN07 modbus.tcp://127.0.0.1:{port}, unit 7 ({points} points)" in out
    assert listening["stations"] == {
        "TN07": {"protocol": "modbus", "host": "127.0.0.1", "port": port, "unit_id": 7, "path": "", "points": points}
    }
    account = json.loads(state.read_text())
    assert (account["stations"], account["points"], account["orders"]) == (1, points, 0)
    assert account["refreshes"] >= 1


def test_a_taken_port_is_one_sentence_and_exit_code_1() -> None:
    with listen("127.0.0.1", 0, "test") as taken:
        port = taken.getsockname()[1]
        with started("station", "TN07", "--modbus-port", str(port)) as process:
            out, errors = process.communicate(timeout=100)
    assert (process.returncode, out) == (1, "")
    assert errors == f"TN07 cannot listen on 127.0.0.1:{port}: another program listens there\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("field", "--only", "TN07,TN77"), "--only: TN77: no such station"),
        (("field", "--fault", "TN07=slow"), "'slow' is no kind of fault"),
        (("field", "--only", "TN07", "--fault", "TN08=silent"), "--fault: TN08: is not simulated"),
        (("station", "TN07", "--opcua-port", "4840"), "TN07 speaks modbus"),
        (("field", "--stations", "/nowhere"), "no such file: /nowhere/province.toml"),
    ],
)
def test_words_that_are_wrong_are_told_with_exit_code_2(
    words: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulators.__main__, "set_up", lambda: None)
    result = CliRunner().invoke(simulators.__main__.app, words)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_the_field_with_meters_tells_in_the_end_what_must_be_stored(tmp_path: Path, endpoints: Endpoints) -> None:
    ready, truth = tmp_path / "ready.json", tmp_path / "truth.json"
    field = endpoints.mqtt_credentials[Role.FIELD]
    broker = (
        "--mqtt-host",
        endpoints.mqtt_host,
        "--mqtt-port",
        str(endpoints.mqtt_port),
        "--mqtt-user",
        field.username,
    )
    words = (
        "field",
        "--only",
        "TN07",
        "--base-port",
        str(free_base_port((7,), random.SystemRandom())),
        "--meters",
        "400",
        "--capture-period",
        "1",
        *broker,
    )
    with started(*words, "--ready-file", str(ready), "--truth-file", str(truth), password=field.password) as process:
        assert wait_for(ready, process)["meters"] == 400
        code, _, errors = stopped(process, signal.SIGTERM)
    assert (code, "Traceback" in errors) == (0, False)
    told = json.loads(truth.read_text())
    assert set(told) == {"readings", "first_end", "last_end", "meters"}
    assert len(truth.with_suffix(".csv").read_text().splitlines()) == 401


def test_a_secured_station_names_every_certificate_it_lacks(tmp_path: Path) -> None:
    words = ["station", "TN13", "--opcua-security", str(tmp_path)]
    refused = CliRunner().invoke(simulators.__main__.app, words)
    assert refused.exit_code == 2
    for name in ("field/TN13.der", "field/TN13.pem", "control_centre.der"):
        assert f"needs {tmp_path / name}; `scada pki opcua TN13` makes it" in refused.output


async def test_a_secured_station_lets_the_control_centre_in_and_nobody_else(tmp_path: Path) -> None:
    assert CliRunner().invoke(pki.app, ["opcua", "TN13", "--folder", str(tmp_path)]).exit_code == 0
    ready = tmp_path / "ready.json"
    words = ("--opcua-port", "0", "--opcua-security", str(tmp_path), "--ready-file", str(ready))
    with started("station", "TN13", *words) as process:
        await asyncio.to_thread(wait_for, ready, process)
        placed = json.loads(ready.read_text())["stations"]["TN13"]
        (station,) = (each for each in load_province(SUBSTATIONS).stations if each.code == "TN13")
        endpoint = Endpoint(Protocol.OPCUA, "127.0.0.1", placed["port"], path=placed["path"], timeout_s=30.0)
        secured = replace(endpoint, security="Basic256Sha256", certificates=str(tmp_path))
        maps = load_maps(SUBSTATIONS / "maps")
        with pytest.raises(LinkError):
            await open_link(replace(station, endpoint=endpoint), maps, now_us).open()
        link = open_link(replace(station, endpoint=secured), maps, now_us)
        await link.open()
        answer = await link.scan(1.0, Cause.GENERAL_INTERROGATION)
        await link.close()
        assert answer.failed == ()
        assert set(answer.batch["point"].tolist()) == {each.id for each in station.points}
