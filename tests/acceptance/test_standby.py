"""What becomes of a command when its desk dies or is taken over: never sent twice, never claimed."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.table import Table

from scada.config import Config
from scada.control.journal import public_key, whole_entries
from scada.control.proof import verify_journal
from scada.control.tenure import last_token, read_heartbeat, segments, take
from scada.controlling import beating, take_control
from scada.hashchain import ChainError
from scada.model.switching import Action
from tests.fakes_control import PATIENCE_S, Rig, rig_at
from tests.refusing import printed_table

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]

ROOT = Path(__file__).resolve().parents[2]
TURN_S = 0.05


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path / "control") as made:
        yield made


@pytest.fixture(scope="module")
def shown() -> Iterator[Table]:
    """What became of the orders, printed when all are through."""
    with printed_table("Desks that die under an order") as table:
        yield table


def child(rig: Rig, mode: str, document: bytes) -> "subprocess.Popen[bytes]":
    place = rig.folder / "document.json"
    place.write_bytes(document)
    port = rig.simulated.ports["TN01"]
    command = [sys.executable, "-m", "tests.control_process", str(rig.folder), str(port), mode, str(place)]
    return subprocess.Popen([*command, str(rig.folder / "report.json")], cwd=ROOT)


async def ended(process: "subprocess.Popen[bytes]") -> int:
    return await asyncio.to_thread(process.wait, PATIENCE_S)


def outcomes(rig: Rig) -> list[tuple[str, str]]:
    """Of the newest segment."""
    newest = segments(rig.folder)[-1]
    return [
        (entry.body["outcome"], entry.body["sentence"])
        for entry in whole_entries(newest)
        if entry.kind == "outcome" and entry.body is not None
    ]


@pytest.mark.parametrize(("mode", "orders"), [("kill-before", 0), ("kill-after", 1)])
async def test_a_desk_killed_around_the_frame_leaves_an_unknown_outcome_and_nothing_is_sent_again(
    rig: Rig, shown: Table, mode: str, orders: int
) -> None:
    document = rig.document("dispatcher-1", target="TN01/471", action=Action.OPEN, emergency=True, reason="test")
    await rig.stop_desk()
    assert await ended(child(rig, mode, document)) == -signal.SIGKILL

    rig.start_desk()

    assert outcomes(rig) == [
        ("unknown", "the desk ended after the order was sent; whether it was carried out is not known")
    ]
    assert [each.kind for each in rig.desk.alarms.events] == [
        "emergency override",
        "control taken over",
        "outcome unknown",
    ]
    name = {"kill-before": "kill -9 between journal and frame", "kill-after": "kill -9 between frame and confirmation"}
    shown.add_row(
        name[mode], *outcomes(rig)[0][:1], "23 aborted by communication loss", outcomes(rig)[0][1], str(orders)
    )
    again = await rig.desk.submit(document)
    assert again["refusals"][0]["sentence"].endswith("was received before")
    await asyncio.sleep(0.3)
    assert rig.orders() == orders
    assert verify_journal(rig.folder, public_key(rig.folder / "journal.pub")).broken == ""


async def test_a_hung_desk_is_replaced_within_five_seconds_and_operates_nothing_when_it_wakes(
    rig: Rig, shown: Table
) -> None:
    document = rig.document("dispatcher-1", target="TN01/471", action=Action.OPEN, emergency=True, reason="test")
    await rig.stop_desk()
    process = child(rig, "stop", document)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not is_stopped(process.pid):  # noqa: ASYNC110  # a stopped process rings no bell
                await asyncio.sleep(0.05)
        config = replace(Config(), var=rig.folder.parent)
        async with counted() as turns:
            tenure = await take_control(config, asyncio.Event(), standby=True)
        assert tenure is not None
        assert len(turns) * TURN_S < 5.0
        rig.start_desk(tenure)
        assert rig.tenure.token == last_token(rig.folder)
        assert outcomes(rig) == [("refused", "the desk ended before the order was sent")]
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert await ended(process) == 0

    report = json.loads((rig.folder / "report.json").read_text(encoding="utf-8"))
    assert report["outcome"] == "refused"
    assert "another desk has taken control" in report["refusals"][0]["sentence"]
    assert rig.orders() == 0
    verdict = verify_journal(rig.folder, public_key(rig.folder / "journal.pub"))
    assert verdict.broken == ""
    assert len(verdict.late) == 1
    refusal = report["refusals"][0]
    cause = f"{refusal['cause']} {refusal['label']}"
    shown.add_row("a hung desk that wakes after its standby took over", "refused", cause, refusal["sentence"], "0")


@asynccontextmanager
async def counted() -> AsyncIterator[list[None]]:
    """The turns this process has had every ``TURN_S``: what a busy machine takes from it does not count."""
    turns: list[None] = []

    async def count() -> None:
        while True:
            await asyncio.sleep(TURN_S)
            turns.append(None)

    counting = asyncio.create_task(count(), name="turns")
    try:
        yield turns
    finally:
        counting.cancel()


async def test_a_desk_that_proves_a_long_journal_is_not_taken_for_dead(tmp_path: Path) -> None:
    """It holds the event loop for as long as it reads; the heart beats meanwhile, and stops with the block."""
    tenure = take(tmp_path, lambda: 0.0)
    assert tenure is not None
    before = read_heartbeat(tmp_path)
    assert before is not None
    with beating(tenure):
        while read_heartbeat(tmp_path) in (None, before):
            hashlib.sha256(bytes(1_000_000))
    with pytest.raises(ChainError), beating(tenure):
        raise ChainError("the journal is broken")
    tenure.release()
    assert not any(each.name == "control heartbeat" for each in threading.enumerate())


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "T"
