"""How a demo finds ports for its stations, and what becomes of it when it is stopped before anything ran."""

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from scada import demo as demo_module
from scada.commands.context import told_failures
from scada.demo import Demo, DemoError, DemoPlan, free_base_port
from scada.files import load_installation
from scada.hmi.screen import Screen
from scada.services.endpoints import Credential, Endpoints, Role

ROOT = Path(__file__).resolve().parents[2]
ENDPOINTS = Endpoints(
    postgres_dsn="",
    postgres_reader_dsn="",
    postgres_private=True,
    mqtt_host="127.0.0.1",
    mqtt_port=1,
    mqtt_credentials={Role.FIELD: Credential("field", "secret")},
    mqtt_private=True,
)
PLAN = DemoPlan(minutes=None, capture_period_s=10, meters=10, seed=1, keep_services=False, restart_services=False)

BASE_PORTS = range(11000, 14000, 100)
"""Other ones than the product's: demos of other tests may be starting at the same time."""

FAKE_FIELD = """
import os, pathlib, socket, sys, time
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert os.environ["SCADA_FIELD_PASSWORD"] == "secret" and "secret" not in sys.argv
listening = socket.socket()
listening.bind(("127.0.0.1", int(words["--base-port"]) + 7))
listening.listen()
pathlib.Path(words["--ready-file"]).write_text("{}")
time.sleep(60)
"""


class Drawn(random.Random):
    """Draws in a given order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__(1)
        self._order = order

    def sample(self, population: object, k: int) -> list[int]:  # type: ignore[override]  # as much as is used
        return self._order


@pytest.fixture(autouse=True)
def own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "BASE_PORTS", BASE_PORTS)


@pytest.fixture
def base() -> int:
    """A base port whose ports are free."""
    return free_base_port([7, 13], random.SystemRandom())


def listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def test_a_base_port_with_one_taken_port_is_passed_over(base: int) -> None:
    other = free_base_port([7, 13], Drawn([each for each in BASE_PORTS if each != base]))
    with listener(base + 13):
        assert free_base_port([7, 13], Drawn([base, other])) == other
        assert free_base_port([7], Drawn([base, other])) == base


def test_without_any_free_base_port_the_demo_says_where_it_looked(base: int) -> None:
    with listener(base + 7), pytest.raises(DemoError, match="no free ports for 1 stations between 11000 and 14000"):
        free_base_port([7], Drawn([base]))


def test_two_demos_at_once_do_not_meet_at_the_first_port() -> None:
    drawn = {free_base_port([7], random.Random(seed)) for seed in range(20)}
    assert len(drawn) > 5


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    config = tmp_path / "config.toml"
    config.write_text(f'[stations]\nfolder = "{ROOT / "substations"}"\nonly = ["TN07"]\n', encoding="utf-8")
    program = tmp_path / "field.py"
    program.write_text(FAKE_FIELD, encoding="utf-8")
    monkeypatch.setattr(demo_module, "SIMULATORS", (sys.executable, str(program)))
    (tmp_path / "var" / "demo").mkdir(parents=True)
    made = Demo(load_installation(config), config, PLAN, Screen())
    yield made
    made._stop_all()


def test_a_port_taken_between_look_and_start_is_answered_by_another_base_port(
    demo: Demo, base: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = free_base_port([7], Drawn([each for each in BASE_PORTS if each != base]))
    chosen = iter([base, other])
    monkeypatch.setattr(demo_module, "free_base_port", lambda *_: next(chosen))
    with listener(base + 7):
        assert demo._wait_for_field(ENDPOINTS, demo._start_field(ENDPOINTS)) == other


def test_a_field_that_fails_for_another_reason_is_not_tried_again(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "field.py").write_text("raise SystemExit('the map is torn')", encoding="utf-8")
    with pytest.raises(DemoError, match="the simulated field did not start: the map is torn"):
        demo._wait_for_field(ENDPOINTS, demo._start_field(ENDPOINTS))


def test_a_file_where_a_folder_belongs_is_one_sentence(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "var" / "logs").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(Demo, "_run", lambda self: self._prepare_registry(ENDPOINTS))
    with pytest.raises(typer.Exit) as ended, told_failures():
        demo.run()
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == f"{tmp_path}/var/logs: File exists\n"
