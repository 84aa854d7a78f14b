"""The process that signs is killed for good (SIGKILL) at the two worst moments; the archive is all that is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from historian.contracts import ContractDatabase
from scada.contracts.archive import Archive
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import Execution
from scada.contracts.keys import key_file
from scada.contracts.trust import Trust, load_certificates
from scada.contracts.verdict import Outcome
from scada.contracts.verify import verify
from scada.model.contract import Action, ContractEvent, ContractRecord, RequestKind, State
from scada.pki import folder
from tests.fakes_contracts import BUYER, NOW, PASSPHRASE, SELLER, SUPPLY, MemoryContractStore, World, signer_of, world
from tests.integration.test_contract_desk import SETTINGS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def around() -> Iterator[World]:
    with world() as made:
        yield made


async def die(home: Path, moment: str, number: str) -> None:
    """What the child does: take over the archive, sign as seller, and die."""
    pki = folder.load(home / "pki")
    names = ("root", "people", "time")
    root, people, time = load_certificates([home / "pki" / f"{name}.cer" for name in names])
    trust = Trust((root,), (people, time), f"{pki.base_url}/tsa", fetch_limit_s=60.0)
    with Archive(home / "archive") as archive:
        store = MemoryContractStore()
        desk = ContractDesk(store, archive, trust, SETTINGS, lambda: NOW)
        await desk.recover()
        if moment == "before the journal":
            archive.announce = lambda *_: _kill()  # type: ignore[method-assign]  # the process dies in this call
        else:
            store.before_append = _kill
        seller = key_file((home / "seller.p12").read_bytes(), PASSPHRASE)
        await Execution(desk, seller).sign_as_seller(number, "sample clerk")


def _kill() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@pytest.mark.parametrize(
    ("moment", "state", "recovered"),
    [("before the journal", State.BUYER_SIGNED, 5), ("before the store", State.SELLER_SIGNED, 6)],
)
async def test_a_killed_signer_leaves_nothing_or_something_complete(
    around: World, tmp_path: Path, moment: str, state: State, recovered: int
) -> None:
    folder.save(around.pki, tmp_path / "pki")
    (tmp_path / "seller.p12").write_bytes(around.person(SELLER).pkcs12(PASSPHRASE))
    with Archive(tmp_path / "archive") as archive:
        number = await _buyer_signed(around, archive)
    assert _exit_of_child(tmp_path, moment, number) == -signal.SIGKILL
    (tmp_path / "archive" / "settled").unlink(missing_ok=True)
    with Archive(tmp_path / "archive") as archive:
        desk = ContractDesk(MemoryContractStore(), archive, around.trust, SETTINGS, around.clock)
        assert await desk.recover() == recovered
        assert archive.verify().intact
        request = await desk.request(number)
        assert request.state is state
        if state is State.BUYER_SIGNED:
            seller = key_file((tmp_path / "seller.p12").read_bytes(), PASSPHRASE)
            request = await Execution(desk, seller).sign_as_seller(number, "sample clerk")
        assert (await verify(desk.document(request), around.trust, NOW)).outcome is Outcome.VALID


def _exit_of_child(home: Path, moment: str, number: str) -> int:
    program = (
        "import asyncio, sys; from pathlib import Path; from tests.integration.test_contract_kill import die; "
        "asyncio.run(die(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(home), moment, number]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=110).returncode


async def _buyer_signed(around: World, archive: Archive) -> str:
    desk = ContractDesk(MemoryContractStore(), archive, around.trust, SETTINGS, around.clock)
    execution = Execution(desk, None)
    number = (await desk.apply(BUYER, SUPPLY, "clerk")).number
    await desk.act(number, Action.SURVEY, "clerk")
    await desk.act(number, Action.OFFER, "clerk", {"offer": {}})
    await execution.prepare(number, "clerk")
    await execution.sign_as_buyer(number, signer_of(around.person()), "clerk")  # type: ignore[arg-type]  # a pyHanko signer
    return number


def test_a_metering_point_with_a_meter_and_no_contract_is_reported(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for serial, point in ((1, "P-1"), (2, "P-2"), (3, "P-3")):
            connection.execute(
                "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits,"
                " installed_at, removed_at) VALUES (%s, %s, 'u', '', '', 'residential', 1, 6, to_timestamp(%s), %s)",
                (serial, point, NOW / 1e6, None if serial < 3 else "2027-01-01"),
            )
    event = ContractEvent("HD-1", 1, NOW, "clerk", Action.APPLY)
    held = ContractRecord(
        "HD-1", RequestKind.NEW, State.ACTIVE, BUYER.name, BUYER.identity, "P-1", "residential", 1,
        valid_from=NOW, applied_at=NOW,
    )  # fmt: skip
    with ContractDatabase(database, application="test") as store:
        assert tuple(store.points_without_contract(NOW)) == ("P-1", "P-2", "P-3")
        assert store.append([(event, held)])
        assert tuple(store.points_without_contract(NOW)) == ("P-2", "P-3")
        assert tuple(store.points_without_contract(NOW - 1)) == ()
        assert tuple(store.points_without_contract(NOW + 200 * 86_400_000_000)) == ("P-2",)


def test_where_a_meter_is_and_contracts_whose_meter_never_was_there_are_told_from_the_registry(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for serial, point, removed in ((1, "P-1", "2026-12-01"), (7, "P-1", None), (2, "P-2", None)):
            connection.execute(
                "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits,"
                " installed_at, removed_at) VALUES (%s, %s, 'u', '', '', 'residential', 1, 6, %s, %s)",
                (serial, point, "2026-12-01" if serial == 7 else "2026-01-01", removed),
            )

    def holds(number: str, point: str, serial: int | None) -> tuple[ContractEvent, ContractRecord]:
        record = ContractRecord(
            number, RequestKind.NEW, State.ACTIVE, BUYER.name, BUYER.identity, point, "residential", serial,
            valid_from=NOW, applied_at=NOW,
        )  # fmt: skip
        return ContractEvent(number, 1, NOW, "clerk", Action.APPLY), record

    later = NOW + 400 * 86_400_000_000
    with ContractDatabase(database, application="test") as store:
        assert [store.metering_point_of(serial, later) for serial in (1, 7, 2, 3)] == [None, "P-1", "P-2", None]
        assert store.append([holds("exchanged", "P-1", 1), holds("crossed", "P-2", 1), holds("unknown", "P-3", 3)])
        assert [row.request for row in store.contracts_without_meter(later)] == ["crossed", "unknown"]
        assert store.contracts_without_meter(NOW - 1) == ()
