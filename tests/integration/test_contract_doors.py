"""The command line and the HTTP door, over a real database, a real token and a real authority."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from typer.testing import CliRunner

from scada.clock import now_us
from scada.commands.contracts import app
from scada.commands.pki import app as pki_app
from scada.config import Config
from scada.contract_office.rehearsal import rehearse
from scada.contracts.archive import Archive
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import Execution
from scada.hmi.contracts_api import PREFIX, bearer, contract_routes
from scada.pki import folder, servers
from scada.pki.profiles import SIGNER, Subject
from tests import fakes_contract_files as files
from tests.contract_process import local_office
from tests.fakes_contracts import BUYER, SELLER, SUPPLY, MemoryContractStore, World, as_dict, world
from tests.integration.test_contract_desk import SETTINGS

pytestmark = pytest.mark.integration

AUTHORISED = {"authorization": "Bearer sample-token"}


@pytest.fixture(scope="module")
def config_file(services_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("office") / "config.toml"
    path.write_text(f'var = "{services_config.var}"\n', encoding="utf-8")
    return path


async def test_a_rehearsal_goes_from_application_to_active(services_config: Config) -> None:
    told: list[str] = []
    await rehearse(services_config, told.append)
    text = "\n".join(told)
    assert "HỢP LỆ / VALID" in text
    assert "application" in text
    assert told[-1].startswith("Billing asks for SAMPLE-")
    assert told[-1].endswith(text.split(" active")[0].rsplit("\n", 1)[-1])


@pytest.fixture
def authority(services_config: Config) -> Iterator[folder.LocalPki]:
    local_office(services_config)
    pki = folder.load(services_config.var / "pki")
    listener = servers.listening_socket(int(pki.base_url.rsplit(":", 1)[1]))
    with servers.served(servers.application(pki, servers.doors(pki), now_us), listener):
        yield pki


def test_the_command_line_walks_refuses_and_verifies(
    authority: folder.LocalPki,
    services_config: Config,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCADA_CONFIG", str(config_file))
    monkeypatch.setenv("SCADA_PASSPHRASE", "sample")
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def run(*arguments: str, code: int = 0) -> str:
        done = runner.invoke(app, list(arguments))
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    key = tmp_path / "buyer.p12"
    identity = authority.issue(Subject(BUYER.name, BUYER.identity), SIGNER, now_us())
    key.write_bytes(identity.pkcs12("sample"))
    person = ["--name", BUYER.name, "--identity", BUYER.identity, "--address", BUYER.address]
    run("new", *person[:2], "--identity", "0123", "--address", "x", "--point", "P-9", code=2)
    number = run("new", *person, "--point", "CLI-0001").split(" ")[0]
    run("sign", number, "--as", "seller", code=1)
    run("survey", number)
    run("offer", number, "--fee", "0")
    prepared = tmp_path / "prepared.pdf"
    run("prepare", number, "--out", str(prepared))
    assert "There is no digital signature" in run("upload", number, str(prepared), code=1).replace("\n", " ")
    huge = tmp_path / "huge.pdf"
    huge.write_bytes(prepared.read_bytes())
    os.truncate(huge, 200 * 2**20)
    assert "too large (> 8.0 MiB)" in run("upload", number, str(huge), code=1)
    assert "too large (> 64.0 MiB)" in run("verify", str(huge), code=3)
    assert "buyer-signed" in run("sign", number, "--as", "buyer", "--p12", str(key))
    assert "1 signed, 0 waiting, 0 refused" in run("sign", "all", "--as", "seller")
    run("install", number, "--serial", "700000009", "--register", "1.8.0=42")
    run("energise", number)
    assert "active · since 20" in run("activate", number)
    assert "1.8.0 = 42" in run("valid", "CLI-0001")
    run("valid", "CLI-0002", code=1)
    assert "refuse-upload" in run("show", number)
    monkeypatch.setenv("COLUMNS", "60")
    assert number in run("list", "--state", "active"), "a narrow terminal cuts names, never numbers"
    monkeypatch.setenv("COLUMNS", "200")
    run("export", number, "--to", str(tmp_path))
    exported = tmp_path / number / "contract.pdf"
    assert "HỢP LỆ / VALID" in run("verify", str(exported))
    assert json.loads(run("verify", str(exported), "--json"))["outcome"] == "VALID"
    assert "CANNOT BE ESTABLISHED" in run("verify", str(exported), "--at", "2046-01-01", code=2)
    damaged = tmp_path / "damaged.pdf"
    damaged.write_bytes(files.flip(exported.read_bytes(), 3000))
    run("verify", str(damaged), code=1)
    damaged.write_bytes(b"no")
    run("verify", str(damaged), code=3)
    assert "0 renewed" in run("renew")
    assert "reminded" in run("night")
    run("archive")
    amendment = run("amend", number, "--tariff", "business").split(" ")[0]
    assert amendment.startswith("PL-")
    run("reject", amendment, "--reason", "sample")
    shown = runner.invoke(pki_app, ["list", "--folder", str(services_config.var / "pki")])
    assert SELLER.name in shown.output


@pytest.fixture
def around() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def routes(around: World, tmp_path: Path) -> Iterator[list[BaseRoute]]:
    with Archive(tmp_path / "archive") as archive:
        desk = ContractDesk(MemoryContractStore(), archive, around.trust, SETTINGS, around.clock)
        execution = Execution(desk, files.bench(around).seller)
        yield contract_routes(desk, execution, bearer({"sample-token": "sample clerk"}))


@pytest.fixture
def client(routes: list[BaseRoute]) -> Iterator[httpx.Client]:
    listener = servers.listening_socket()
    where = servers.base_url(listener)
    with (
        servers.served(Starlette(routes=routes), listener),
        httpx.Client(base_url=where, trust_env=False, timeout=60) as made,
    ):
        yield made


def test_the_http_door_walks_refuses_and_verifies(client: httpx.Client, around: World) -> None:
    assert client.get(PREFIX).status_code == 401
    assert client.get(PREFIX, headers={"authorization": "Bearer other"}).status_code == 401
    client.headers.update(AUTHORISED)
    made = client.post(PREFIX, json={"customer": as_dict(BUYER), "supply": as_dict(SUPPLY)})
    assert made.status_code == 200, made.text
    number = made.json()["number"]
    assert client.post(PREFIX, json={"customer": {}}).status_code == 400
    assert client.post(f"{PREFIX}/{number}/sign-seller").status_code == 409
    assert client.post(f"{PREFIX}/{number}/nonsense").status_code == 400
    assert client.post(f"{PREFIX}/{number}/survey").json()["state"] == "surveyed"
    assert client.post(f"{PREFIX}/{number}/offer", json={"offer": 5}).status_code == 409
    assert client.post(f"{PREFIX}/{number}/offer", content='{"a":' + "[" * 20_000).status_code == 400
    assert client.post(f"{PREFIX}/{number}/offer", json={"offer": {}}).status_code == 200
    assert client.post(f"{PREFIX}/{number}/prepare", json={"effective_from": 10**30}).status_code == 409
    assert client.post(f"{PREFIX}/{number}/prepare").json()["state"] == "prepared"
    prepared = client.get(f"{PREFIX}/{number}/document").content
    refused = client.post(f"{PREFIX}/{number}/upload", content=prepared)
    assert refused.status_code == 422
    assert [finding["reason"] for finding in refused.json()["findings"]] == ["NO_SIGNATURE"]
    assert client.post(f"{PREFIX}/{number}/upload", content=bytes(9 * 2**20)).status_code == 413
    bench = files.bench(around)
    signed = asyncio.run(files.plain(prepared, bench.buyer))
    assert client.post(f"{PREFIX}/{number}/upload", content=signed).json()["state"] == "buyer-signed"
    assert client.post(f"{PREFIX}/{number}/sign-seller").json()["state"] == "seller-signed"
    meter = {"serial": 7, "start_registers": {"1.8.0": 5}, "photo_sha256": "", "installed_at": 0}
    assert client.post(f"{PREFIX}/{number}/install-meter", json=meter | {"installed_at": 10**30}).status_code == 409
    assert client.post(f"{PREFIX}/{number}/install-meter", json=meter).status_code == 200
    client.post(f"{PREFIX}/{number}/energise")
    assert client.post(f"{PREFIX}/{number}/activate").json()["state"] == "active"
    held = client.get(f"{PREFIX}/valid/{SUPPLY.metering_point}").json()
    assert (held["request"], held["meter_serial"], held["start_registers"]) == (number, 7, {"1.8.0": 5})
    assert client.get(f"{PREFIX}/valid/other").json() is None
    assert client.get(f"{PREFIX}/unbound").json() == []
    assert [row["request"] for row in client.get(PREFIX, params={"state": "active"}).json()] == [number]
    shown = client.get(f"{PREFIX}/{number}").json()
    assert shown["clock"]["due"] == "2026-09-30"
    assert [event["action"] for event in shown["history"]][:2] == ["apply", "survey"]
    assert client.post(f"{PREFIX}/{number}/amend", json={"tariff_class": "business"}).json()["kind"] == "amendment"

    client.headers.pop("authorization")
    document = (asyncio.run(files.complete(bench)), prepared)
    verdict = client.post(f"{PREFIX}/verify", content=document[0]).json()
    assert (verdict["outcome"], verdict["in_our_archive"]) == ("VALID", False)
    assert client.post(f"{PREFIX}/verify", content=document[1]).json()["outcome"] == "INVALID"
    page = client.get(f"{PREFIX}/verify/{number}")
    assert page.status_code == 200
    assert shown["document_sha256"] in page.text
    assert BUYER.name not in page.text
    assert client.get(f"{PREFIX}/verify/<script>").status_code == 404
    assert "<script>&" not in client.get(f"{PREFIX}/verify/<b>").text.split("<style>")[0]


def test_the_description_names_every_route(client: httpx.Client, routes: list[BaseRoute]) -> None:
    described = client.get(f"{PREFIX}/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    templates = {route.path.replace(":path", "") for route in routes if isinstance(route, Route)}
    generic = {f"{PREFIX}/openapi.json", f"{PREFIX}/{{number}}/{{action}}"}
    assert templates - generic <= set(described["paths"])
