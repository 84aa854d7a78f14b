"""``scada contract serve`` as a process of its own, over real services, a real token and a sample contract."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scada.config import Config
from scada.contract_office.office import opened
from scada.contract_office.rehearsal import rehearse
from scada.contracts.archive import Archive
from scada.hmi.contracts_api import PREFIX
from scada.hmi.processes import ProcessSilent, ask
from scada.model.contract import State
from scada.pki import servers
from tests import fakes_contract_files as files
from tests.contract_process import local_office
from tests.demo_process import SCADA, SOURCE, wait_until

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Served:
    """The serving process, where it answers, and how to ask it as somebody."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    tokens: dict[str, str]

    def ask_as(self, name: str, path: str) -> httpx.Response:
        return self.client.get(path, headers={"authorization": f"Bearer {self.tokens[name]}"})


@pytest.fixture(scope="module")
def config_file(services_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    local_office(services_config)
    path = tmp_path_factory.mktemp("serving") / "config.toml"
    path.write_text(f'var = "{services_config.var}"\n', encoding="utf-8")
    return path


def scada(config_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*SCADA, "--config", str(config_file), *words]
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=110)


@contextmanager
def serving(config: Config, config_file: Path, how_it_ends: signal.Signals) -> Iterator[Served]:
    """Serve while the block lasts; the process must then end well."""
    log = config_file.with_suffix(".log")
    with log.open("wb") as output:
        command = [*SCADA, "--config", str(config_file), "contract", "serve"]
        process = subprocess.Popen(command, cwd=SOURCE, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: state_of(config) != {} or process.poll() is not None, "the office is open")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        url = json.loads((config.var / "run" / "contracts.json").read_text())["url"]
        tokens = json.loads((config.var / "contracts" / "tokens.json").read_text())
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            yield Served(process, client, tokens)
        process.send_signal(how_it_ends)
        assert process.wait(120) == 0, log.read_text(encoding="utf-8")
        assert "Traceback" not in log.read_text(encoding="utf-8")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def state_of(config: Config) -> dict[str, Any]:
    try:
        state: dict[str, Any] = ask(config.var, "contracts", timeout_s=60.0)
    except ProcessSilent:
        return {}
    return state


async def a_contract(config: Config) -> tuple[str, bytes]:
    """A sample contract, signed by both and active: its metering point and its document."""
    told: list[str] = []
    await rehearse(config, told.append)
    point = told[-1].removeprefix("Billing asks for ").split(":")[0]
    async with opened(config) as office:
        held = next(row for row in office.desk.store.records((State.ACTIVE,)) if row.metering_point == point)
        return point, office.desk.document(await office.desk.request(held.request))


async def test_the_office_serves_the_public_clerks_and_billing_and_ends_well(
    services_config: Config, config_file: Path
) -> None:
    config = services_config
    point, document = await a_contract(config)
    with serving(config, config_file, signal.SIGTERM) as served:
        client = served.client
        assert client.get(f"{PREFIX}/openapi.json").json()["openapi"] == "3.1.0"
        good = client.post(f"{PREFIX}/verify", content=document).json()
        assert (good["outcome"], good["in_our_archive"]) == ("VALID", True)
        bad = client.post(f"{PREFIX}/verify", content=files.flip(document, 3000)).json()
        assert (bad["outcome"], bad["in_our_archive"]) == ("INVALID", False)

        assert client.get(PREFIX).status_code == 401
        listed = served.ask_as("clerk", PREFIX)
        assert listed.status_code == 200
        assert point in [row["metering_point"] for row in listed.json()]
        assert served.ask_as("billing", PREFIX).status_code == 403
        held = served.ask_as("billing", f"{PREFIX}/valid/{point}").json()
        assert (held["metering_point"], held["state"]) == (point, "active")

        wait_until(lambda: state_of(config)["upkeep"]["ended"] > 0, "the first day's upkeep is done")
        state = state_of(config)
        assert (state["process"], state["pid"], state["database"]) == ("contracts", served.process.pid, "")
        assert state["requests"]["active"] == sum(row["state"] == "active" for row in listed.json())
        assert state["waiting"] == []
        assert state["retry"]["done"] == {"signed": 0, "waiting": 0, "refused": 0}
        assert (state["upkeep"]["failed"], state["upkeep"]["done"]["not_renewed"]) == ("", 0)

        refused = scada(config_file, "contract", "list")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            f"the contract office is open in `scada contract serve` (process {served.process.pid}): "
            f"ask it over REST at {str(client.base_url).rstrip('/')}{PREFIX}, or end it first\n"
        )
    assert not (config.var / "run" / "contracts.json").exists()
    last = json.loads((config.var / "run" / "contracts.last.json").read_text())
    assert last["requests"] == state["requests"]


def test_after_ctrl_c_the_office_can_be_opened_again(services_config: Config, config_file: Path) -> None:
    with serving(services_config, config_file, signal.SIGINT) as first:
        tokens = first.tokens
    with serving(services_config, config_file, signal.SIGINT) as second:
        assert second.tokens == tokens


def test_a_taken_port_is_told_with_its_remedy(services_config: Config, config_file: Path) -> None:
    with servers.listening_socket() as listener:
        port = listener.getsockname()[1]
        done = scada(config_file, "contract", "serve", "--port", str(port))
    assert (done.returncode, done.stderr) == (
        1,
        f"port {port} of 127.0.0.1 is taken; choose another with --port, 0 for a free one\n",
    )


def test_an_archive_held_by_another_command_is_told_as_such(services_config: Config, config_file: Path) -> None:
    with Archive(services_config.var / "contracts" / "archive"):
        done = scada(config_file, "contract", "list")
    assert (done.returncode, done.stderr) == (
        1,
        "the contract office is open in another `scada contract` command; try again when that has ended\n",
    )
