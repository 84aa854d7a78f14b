"""The control desk as it is typed: two dispatchers at two terminals, each with a key, one of them on a token.

The commands are processes of their own; the desk answers them over HTTP and operates a real simulated station.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from scada.cli import app
from scada.config import HttpConfig
from scada.control.tenure import segments
from scada.hmi.control_door import control_routes
from scada.hmi.door import StateDoor
from scada.model.switching import Action
from tests.fakes_control import PATIENCE_S, Rig, rig_at
from tests.fakes_softhsm import MODULE, PIN, put_certificates, soft_token

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Terminal:
    """Where somebody types."""

    folder: Path

    def _environment(self, passphrase: str) -> dict[str, str]:
        return {"SCADA_CONFIG": str(self.folder / "config.toml"), "SCADA_PASSPHRASE": passphrase, "COLUMNS": "200"}

    async def type(self, *words: str, code: int = 0) -> str:
        """What the command says; it must end with ``code``. One at a time: it speaks through this process."""
        environment = self._environment("only in this test")
        result = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environment)
        assert result.exit_code == code, result.output
        return result.output

    async def type_beside(self, *words: str, passphrase: str, code: int = 0) -> str:
        """As ``type``, in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scada.cli", *words),
            cwd=ROOT,
            env=os.environ | self._environment(passphrase),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == code, said.decode()
        return said.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("installation")
    (folder / "config.toml").write_text(
        f'var = "var"\nlanguage = "en"\n[stations]\nfolder = "{ROOT / "substations"}"\n', encoding="utf-8"
    )
    async with rig_at(folder / "var" / "control") as made:
        keys = made.folder / "keys"
        keys.mkdir()
        for name in ("dispatcher-1", "dispatcher-2", "viewer-1"):
            (keys / f"{name}.p12").write_bytes(made.people[name].pkcs12("only in this test", name))
        async with StateDoor("run", {}, HttpConfig(port=0), folder / "var", control_routes(lambda: made.desk)):
            yield made


@pytest.fixture
def terminal(rig: Rig) -> Terminal:
    rig.refresh()
    return Terminal(rig.folder.parents[1])


async def waiting(rig: Rig, what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any(each.waits_for == what for each in rig.desk.courses.values()):  # noqa: ASYNC110  # no bell
            await asyncio.sleep(0.02)


async def test_a_dispatcher_with_a_token_and_one_with_a_file_open_a_feeder(
    rig: Rig, terminal: Terminal, tmp_path: Path
) -> None:
    with soft_token(tmp_path, rig.people["dispatcher-1"], "desk-1") as token:
        put_certificates(token.token, rig.people["dispatcher-1"])
        key = f"pkcs11:{MODULE}:desk-1"
        first = asyncio.create_task(
            terminal.type_beside(
                "operate", "TN01/471", "open", "--key", key, "--reason", "planned work", passphrase=PIN
            )
        )
        await waiting(rig, "approval")
        second = await terminal.type("approve", "TN01/471", "--key", "dispatcher-2", "--yes")
        said = await first
        wrong = await terminal.type_beside("operate", "TN01/471", "close", "--key", key, passphrase="9999", code=1)
    assert "waits for a second person: scada approve TN01/471 --key" in said
    for each in (said, second):
        assert "TN01/471 open completed" in each
    assert "reason: planned work" in second
    assert "token 'desk-1'" in wrong
    assert not rig.simulated.plant.feeder_energised()["TN01/471"]
    assert "intact" in await terminal.type("journal", "verify")


async def test_selecting_executing_and_cancelling_from_the_terminal(rig: Rig, terminal: Terminal) -> None:
    selecting = asyncio.create_task(terminal.type("select", "TN01/472", "open", "--key", "dispatcher-1"))
    await waiting(rig, "approval")
    (course,) = (each for each in rig.desk.courses.values() if each.waits_for)
    await rig.approve(course.report())
    assert "carry it out with: scada execute TN01/472" in await selecting
    said = await terminal.type("cancel", "TN01/472", "--key", "dispatcher-1", code=1)
    assert "cancelled by dispatcher-1; nothing was sent" in said


async def test_a_set_point_is_typed_signed_with_its_unit_and_shown_with_it(rig: Rig, terminal: Terminal) -> None:
    target = "TN01/T1/avr.voltage_setpoint"
    said = await terminal.type("operate", target, "set", "23.1", "--key", "dispatcher-1", "--reason", "evening peak")
    assert f"{target} is 23.1 kV" in said
    assert f"{target} set 23.1 kV completed" in said
    assert rig.simulated.plant.signal("TN01/T1/voltage_set_point") == 23.1
    said = await terminal.type("operate", target, "set", "25", "--key", "dispatcher-1", code=1)
    assert f"{target} set 25.0 kV refused: 26 inconsistent parameters (25.0 kV is outside the limits" in said
    assert "set needs the value as set_point" in await terminal.type(
        "operate", target, "set", "--key", "dispatcher-1", code=1
    )
    assert f"{target}  set 23.1 kV" in await terminal.type("control", "list")
    entries = await terminal.type("journal", "show", "--about", target)
    for words in (
        f"operate {target} set 23.1 kV by dispatcher-1",
        f"{target} set 23.1 kV completed",
        "set 25.0 kV refused",
    ):
        assert words in entries


async def test_an_alarm_is_listed_and_acknowledged_from_the_terminal(rig: Rig, terminal: Terminal) -> None:
    rig.desk.observe(rig.show("TN01/473/473.position", 2.0))
    rig.desk.observe(rig.show("TN01/473/473.position", 1.0))
    (alarm,) = rig.desk.alarms.unacknowledged.values()
    listed = await terminal.type("alarms")
    assert "TN01/473 moved to open without a command" in listed and alarm.id[-8:] in listed
    refused = await terminal.type("alarms", "acknowledge", "TN01/473", "--key", "viewer-1", code=1)
    assert "to acknowledge alarms takes OPERATOR" in refused
    said = await terminal.type("alarms", "acknowledge", alarm.id[-8:], "--key", "dispatcher-1", "--reason", "seen")
    assert said.startswith("acknowledged: movement without command: TN01/473 moved to open")
    assert "no alarm 'all' waits" in await terminal.type("alarms", "acknowledge", "all", "--key", "viewer-1", code=1)


async def test_a_journal_with_one_flipped_bit_is_broken_at_that_entry(
    rig: Rig, terminal: Terminal, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    (copy / "journal").mkdir(parents=True)
    shutil.copy(rig.folder / "journal.pub", copy)
    content = bytearray(segments(rig.folder)[0].read_bytes())
    assert "intact" in await terminal.type("journal", "verify", "--folder", str(rig.folder))
    place = content.index(b"planned work") if b"planned work" in content else len(content) // 2
    content[place] ^= 1
    (copy / "journal" / "000001.jsonl").write_bytes(content)
    number = content[:place].count(b"\n") + 1
    said = await terminal.type("journal", "verify", "--folder", str(copy), code=1)
    assert f"broken: segment 000001, entry {number}: " in said
    shown = await terminal.type("journal", "show", "--last", "1", "--json")
    assert json.loads(shown)["segment"] == "000001"


async def test_a_dispatcher_reads_vietnamese_where_that_is_configured_and_the_journal_keeps_what_was_said(
    rig: Rig, terminal: Terminal
) -> None:
    place = terminal.folder / "config.toml"
    english = place.read_text(encoding="utf-8")
    place.write_text(english.replace('language = "en"', 'language = "vi"'), encoding="utf-8")
    try:
        said = await terminal.type("operate", "TN01/475", "close", "--key", "dispatcher-1", code=1)
        assert "TN01/475 đóng bị từ chối: 5 đã ở vị trí yêu cầu (TN01/475 đã đóng rồi)" in said
        said = await terminal.type("operate", "TN01/475", "open", "--key", "viewer-1", code=1)
        assert "20 không có quyền (viewer-1 có vai trò VIEWER; để thao tác cần OPERATOR)" in said
        rig.desk.observe(rig.show("TN01/475/475.position", 2.0))
        rig.desk.observe(rig.show("TN01/475/475.position", 1.0))
        assert "TN01/475 chuyển sang mở mà không có lệnh" in await terminal.type("alarms")
        assert "toàn vẹn: " in await terminal.type("journal", "verify")
        assert "không có lệnh 'TN01/474' nào đang thực hiện" in await terminal.type(
            "cancel", "TN01/474", "--key", "dispatcher-2", code=1
        )
        await terminal.type("alarms", "acknowledge", "all", "--key", "dispatcher-1")
    finally:
        place.write_text(english, encoding="utf-8")
    assert "TN01/475 is closed already" in rig.journal_text()
    assert "đã đóng rồi" not in rig.journal_text()


async def test_the_door_tells_in_the_configured_language_beside_what_is_kept(rig: Rig) -> None:
    rig.refresh()
    var = rig.folder.parent / "other"
    routes = control_routes(lambda: rig.desk, language="vi")
    async with StateDoor("run", {}, HttpConfig(port=0), var, routes):
        url = json.loads((var / "run" / "run.json").read_text(encoding="utf-8"))["url"] + "/api/v1/control"
        document = rig.document("dispatcher-1", target="TN01/475", action=Action.CLOSE)
        async with httpx.AsyncClient(trust_env=False) as client:
            refused = (await client.post(f"{url}/messages", content=document)).json()["refusals"][0]
            unknown = (await client.get(f"{url}/commands/none")).json()
            alarms = (await client.get(f"{url}/events")).json()["events"]
    assert (refused["sentence"], refused["text"]) == ("TN01/475 is closed already", "TN01/475 đã đóng rồi")
    assert (refused["label"], refused["label_text"]) == ("position reached", "đã ở vị trí yêu cầu")
    assert unknown == {"error": "ở đây không có lệnh 'none'"}
    assert all(each["text"] != each["sentence"] for each in alarms)


async def test_a_broken_end_of_the_journal_is_shown_signed_for_and_set_aside(
    rig: Rig, terminal: Terminal, tmp_path: Path
) -> None:
    words = ("journal", "set-aside", "--key", "dispatcher-1", "--reason", "disk fault", "--yes")
    assert "is in control: its journal is not broken" in await terminal.type(*words, code=1)
    shutil.copytree(rig.folder, tmp_path / "var" / "control")
    shutil.copytree(rig.folder / "pki", tmp_path / "var" / "pki")
    (tmp_path / "var" / "control" / "active.json").unlink()
    shutil.copy(terminal.folder / "config.toml", tmp_path)
    other = Terminal(tmp_path)
    assert "is in order: a desk may be started" in await other.type(*words, code=1)
    path = segments(tmp_path / "var" / "control")[-1]
    number = path.read_bytes().count(b"\n") + 1
    path.write_bytes(path.read_bytes() + b"nonsense TN01/471\n")
    said = await other.type("journal", "verify", code=1)
    assert f"broken: segment 000001, entry {number}: cannot be read" in said
    said = await other.type(*words)
    for each in (
        f"{path}, line {number}: cannot be read",
        f"{number}  nonsense TN01/471",
        "by dispatcher-1: disk fault",
    ):
        assert each in said
    said = await other.type("journal", "verify")
    assert f"set aside: segment 000001 from line {number}, 18 bytes, in 000001.aside-" in said
    assert "intact" in said
    assert "set aside: segment 000001" in await other.type("journal", "show", "--last", "4")


async def test_the_journal_is_read_in_words_and_wrong_names_are_helped(rig: Rig, terminal: Terminal) -> None:
    said = await terminal.type("operate", "tn01/471", "open", "--key", "dispatcher-1", code=1)
    assert "nothing here is called 'tn01/471'; did you mean 'TN01/471'?" in said
    said = await terminal.type("operate", "TN01/471", "open", "--key", "dispatcher-9", code=1)
    assert "no key 'dispatcher-9'" in said and "did you mean 'dispatcher-" in said
    assert "no command 'TN01/474' is under way" in await terminal.type(
        "approve", "TN01/474", "--key", "dispatcher-2", code=1
    )
    tag = ("tag", "set", "TN01/474", "caution", "--key", "dispatcher-1", "--reason", "hot joint")
    assert "set: caution on TN01/474, owner dispatcher-1" in await terminal.type(*tag)
    shown = (await terminal.type("journal", "show", "--last", "500")).splitlines()
    assert any("caution on TN01/474, owner dispatcher-1, by dispatcher-1 (hot joint)" in each for each in shown)
    assert not any(each.split("  ")[-1].startswith("{") for each in shown), shown
