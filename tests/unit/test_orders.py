"""A switching order from its file to its end: form, simulation, two persons, steps with read-back, paper."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from scada.control.interlocking import Place
from scada.control.jws import sign
from scada.control.lifecycle import Outcome
from scada.control.orders import (
    TRANSITIONS,
    Expectation,
    OrderEvent,
    OrderState,
    Step,
    StepAction,
    following,
    load_order,
    operation_of,
)
from scada.control.orders_pdf import order_content, order_pdf, step_words
from scada.control.orders_record import OrderRecord, OrderRefused, Statement, Word, draft, open_record, read_record
from scada.control.orders_run import SETTLE_S, Done, OrderRun
from scada.grid.loadflow import LoadFlow
from scada.hashchain import ChainError, entries, verify
from scada.hmi.deskwords import told
from scada.model.errors import ConfigurationError, Fault, LinkError
from scada.model.station import Province
from scada.model.switching import Action, Operation
from tests.fakes_interlocking import two_stations
from tests.fakes_orders import APPROVER, NOW, ORDER, PREPARER, STRANGER, Office, People

PROVINCE = two_stations()


@pytest.fixture(scope="module")
def people() -> People:
    return People()


@pytest.fixture(scope="module")
def load_flow() -> LoadFlow:
    return LoadFlow(PROVINCE)


@pytest.fixture
def office(tmp_path: Path, people: People, load_flow: LoadFlow) -> Office:
    return Office(PROVINCE, tmp_path, people, load_flow)


def faults(tmp_path: Path, text: str, province: Province = PROVINCE) -> list[str]:
    path = tmp_path / "order.toml"
    path.write_text(text, encoding="utf-8")
    found: list[Fault] = []
    assert (load_order(path, province, found) is None) == bool(found)
    return [str(each).removeprefix("order.toml: ") for each in found]


# --- the file ------------------------------------------------------------------------------------------------------


def test_an_order_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "order.toml"
    path.write_text(ORDER, encoding="utf-8")
    file = load_order(path, PROVINCE, [])

    assert file is not None
    assert file.order.stations == ("S1", "S2")
    assert file.order.step[2] == Step(StepAction.OPEN, "S2/171", expect=(Expectation("S2/171/voltage_l12", below=1.0),))
    assert file.order.step[5] == Step(StepAction.CLOSE, "S1/171-76", Place.ON_SITE, "Đã treo biển báo", within_s=60.0)


SET = """\
[[step]]
action = "set"
device = "S1/T1/avr.voltage_setpoint"
value = 23.1
unit = "kV"
"""
HEAD = 'number = "1"\npurpose = "x"\nprepared_by = "y"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ORDER.replace('"2026-0042"', '"../1"'),
            ["number: '../1' must be letters, digits, dots and dashes, at most 64"],
        ),
        (ORDER.replace("Tách đường dây S1–S2 (171) để sửa chữa", " "), ["purpose: is empty"]),
        (ORDER.replace('"dispatcher-1"', '""'), ["prepared_by: is empty"]),
        (HEAD + "step = []\n", ["step: there are 0 steps; 1 to 200 are possible"]),
        (
            HEAD + '[[step]]\naction = "open"\ndevice = "S7/171"\n',
            ["step[1].device: no station 'S7'; known are S1, S2"],
        ),
        (
            HEAD + '[[step]]\naction = "open"\ndevice = "S1/171-8"\n',
            ["step[1].device: S1 has no device '171-8'; did you mean '171-7'?"],
        ),
        (HEAD + '[[step]]\naction = "raise"\ndevice = "S1/171"\n', ["step[1].action: S1/171 cannot raise"]),
        (HEAD + '[[step]]\naction = "open"\ndevice = "S1/T1"\n', ["step[1].action: S1/T1 cannot open"]),
        (
            HEAD + '[[step]]\naction = "close"\ndevice = "S1/171-76"\n',
            ['step[1].place: S1/171-76 cannot be operated remotely; write place = "on_site"'],
        ),
        (
            HEAD + '[[step]]\naction = "open"\ndevice = "S1/171"\ndead_on_site = true\n',
            ["step[1].dead_on_site: S1/171 is no earthing switch"],
        ),
        (
            HEAD + SET.replace("avr.voltage_setpoint", "avr.voltage_set"),
            [
                "step[1].device: S1/T1/avr.voltage_set is no set-point; did you mean 'S1/T1/avr.voltage_setpoint'?",
            ],
        ),
        (HEAD + SET.replace("value = 23.1", ""), ["step[1].value: set needs the value, and its unit"]),
        (
            HEAD + SET.replace('"kV"', '"V"'),
            ["step[1].value: S1/T1/avr.voltage_setpoint is set in kV; the unit given is 'V'"],
        ),
        (
            HEAD + SET.replace("23.1", "25"),
            ["step[1].value: 25.0 kV is outside the limits of S1/T1/avr.voltage_setpoint: 21 to 24 kV"],
        ),
        (
            HEAD + SET.replace("23.1", "nan"),
            ["step[1].value: must be a finite number, is nan"],
        ),
        (
            HEAD + SET + 'place = "on_site"\n',
            ["step[1].place: a set-point is given from the control centre"],
        ),
        (
            HEAD + '[[step]]\naction = "open"\ndevice = "S1/171"\nvalue = 1.0\n',
            ["step[1].value: open takes no value and no unit"],
        ),
        (HEAD + '[[step]]\naction = "check"\n', ["step[1].expect: a check needs a reading to check"]),
        (
            HEAD + '[[step]]\naction = "check"\nexpect = [{ point = "S1/171/currant_l1", below = 1.0 }]\n',
            ["step[1].expect[1].point: no point 'S1/171/currant_l1'; did you mean 'S1/171/current_l1'?"],
        ),
        (
            HEAD + '[[step]]\naction = "check"\nexpect = [{ point = "S1/171/current_l1", below = 1.0, above = 0.0 }]\n',
            ["step[1].expect[1]: needs exactly one of equals, below and above"],
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_fault(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text) == expected


def test_the_table_of_states_is_whole() -> None:
    """Every state and event: what is not in the table may not happen, and the two ends are ends."""
    reachable = {state for state, _ in TRANSITIONS if state is not None} | set(TRANSITIONS.values())

    assert reachable == set(OrderState)
    for event in OrderEvent:
        assert following(OrderState.COMPLETED, event) is None
        assert following(OrderState.STOPPED, event) is None
        assert (following(None, event) is None) == (event is not OrderEvent.DRAFT)
    assert following(OrderState.DRAFTED, OrderEvent.APPROVE) is None
    assert following(OrderState.CHECKED, OrderEvent.BEGIN) is None


# --- simulation ----------------------------------------------------------------------------------------------------


def test_a_sound_order_passes_its_simulation(office: Office) -> None:
    verdict = office.check.simulate(office.written(ORDER).order, office.desk.seen, NOW)

    assert verdict.passed
    assert [each.number for each in verdict.steps] == [1, 2, 3, 4, 5, 6]
    assert office.truth.closed == {name for name, (_, d) in office.truth.devices.items() if d.normally_closed}


def test_the_first_refused_step_ends_the_simulation(office: Office) -> None:
    early = ORDER.replace(
        'device = "S2/171"\nexpect = [{ point = "S2/171/voltage_l12", below = 1.0 }]', 'device = "S1/171-7"', 1
    )
    swapped = early.replace('action = "open"\ndevice = "S1/171"\n', 'action = "open"\ndevice = "S2/171"\n', 1)
    verdict = office.check.simulate(office.written(swapped).order, office.desk.seen, NOW)

    assert not verdict.passed
    assert [each.refused for each in verdict.steps] == [
        "",
        "",
        "blocked by interlocking (the circuit of S1/171-7 is not interrupted: S1/171 is closed)",
    ]


def test_a_reading_that_would_not_come_is_found_before(office: Office) -> None:
    text = ORDER.replace("below = 1.0", "above = 100.0")
    verdict = office.check.simulate(office.written(text).order, office.desk.seen, NOW)

    assert verdict.steps[-1].number == 3
    assert verdict.steps[-1].refused == ("the expected reading would not come: S2/171/voltage_l12 > 100, but it is 0")


def test_without_an_image_the_simulation_begins_in_the_normal_state(office: Office) -> None:
    assert office.check.simulate(office.written(ORDER).order, None, NOW).passed


def test_the_simulation_tells_what_is_lost(office: Office) -> None:
    text = HEAD.replace('"y"', f'"{PREPARER}"') + '[[step]]\naction = "open"\ndevice = "S1/471"\n'
    (step,) = office.check.simulate(office.written(text).order, None, NOW).steps

    assert (step.refused, step.lost_mw) == ("", 5.0)
    assert step.remarks == ("5.0 MW lost: S1/471",)


# --- drafted, checked, approved ------------------------------------------------------------------------------------


def test_an_order_keeps_who_did_what_when(office: Office) -> None:
    with office.approved() as record:
        status = record.status

    assert read_record(record.folder) == status
    assert (status.state, status.prepared_by, status.approved_by) == (OrderState.APPROVED, PREPARER, APPROVER)
    assert [entry.kind for entry in entries(record.folder / "record.jsonl")] == ["draft", "pass", "approve"]
    assert verify(record.folder / "record.jsonl").intact


def test_a_number_is_used_once(office: Office) -> None:
    office.drafted().close()

    with pytest.raises(OrderRefused, match="there is an order 2026-0042 already"):
        office.drafted()


def test_only_the_preparer_drafts(office: Office) -> None:
    with pytest.raises(OrderRefused, match="prepared by dispatcher-1, signed it was by dispatcher-2"):
        office.drafted(by=APPROVER)


def test_the_preparer_must_have_the_right_in_every_station(office: Office) -> None:
    text = ORDER.replace('"dispatcher-1"', f'"{STRANGER}"')

    with pytest.raises(OrderRefused, match="engineer-1 has ENGINEER; to operate takes OPERATOR"):
        office.drafted(text, by=STRANGER)


def test_a_file_with_faults_is_not_drafted(office: Office) -> None:
    office.source.write_text(HEAD + "step = []\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="0 steps"):
        draft(office.root, office.source, PROVINCE, b"{}", office.people.credentials, NOW)


def test_an_order_that_was_not_checked_is_not_approved(office: Office) -> None:
    with office.drafted() as record, pytest.raises(OrderRefused, match="only a checked order is approved"):
        record.approve(office.approval(record), office.people.credentials, NOW)


def test_a_failed_simulation_leaves_the_order_a_draft(office: Office) -> None:
    with office.checked(ORDER.replace("below = 1.0", "above = 100.0")) as record:
        assert record.status.state is OrderState.DRAFTED
        assert record.status.check == ""


def test_the_preparer_does_not_approve(office: Office) -> None:
    with office.checked() as record, pytest.raises(OrderRefused, match="another person must approve"):
        record.approve(office.approval(record, PREPARER), office.people.credentials, NOW)


def test_who_may_not_approve_does_not(office: Office) -> None:
    with office.checked() as record, pytest.raises(OrderRefused, match="engineer-1 has ENGINEER; to approve"):
        record.approve(office.approval(record, STRANGER), office.people.credentials, NOW)


@pytest.mark.parametrize("changed", [{"digest": "0" * 64}, {"check": "0" * 64}, {"number": "2026-0043"}])
def test_an_approval_of_something_else_is_none(office: Office, changed: dict[str, str]) -> None:
    with office.checked() as record, pytest.raises(OrderRefused, match="approves something else"):
        record.approve(office.approval(record, **changed), office.people.credentials, NOW)


def test_an_approval_holds_for_the_simulation_it_knew(office: Office) -> None:
    """Checked again after the approval was signed: the network may have changed, so the approval is void."""
    with office.checked() as record:
        approval = office.approval(record)
        record.note_check(office.check.simulate(record.order, office.desk.seen, NOW), NOW + 1, NOW + 1)
        with pytest.raises(OrderRefused, match="approves something else"):
            record.approve(approval, office.people.credentials, NOW)


def test_a_forged_approval_is_none(office: Office) -> None:
    with office.checked() as record:
        document = office.approval(record)
        bad = document.replace(document[30:34], b"AAAA", 1)
        with pytest.raises(OrderRefused):
            record.approve(bad, office.people.credentials, NOW)
        with pytest.raises(OrderRefused, match="no signed statement"):
            record.approve(b"yes", office.people.credentials, NOW)


def test_an_old_approval_is_none(office: Office) -> None:
    with office.checked() as record:
        old = office.people.states(
            Word.APPROVED, record.order.number, record.file.digest, record.status.check, APPROVER, NOW - 601_000_000
        )
        with pytest.raises(OrderRefused, match="not of now"):
            record.approve(old, office.people.credentials, NOW)


def test_a_signature_in_anothers_name_is_none(office: Office) -> None:
    with office.checked() as record:
        said = Statement(Word.APPROVED, record.order.number, record.file.digest, record.status.check, APPROVER, NOW)
        forged = sign(said.payload, office.people.signers[STRANGER])
        with pytest.raises(OrderRefused, match="the statement says dispatcher-2, the signature is engineer-1's"):
            record.approve(forged, office.people.credentials, NOW)


def test_a_file_changed_after_it_was_drafted_is_no_order(office: Office) -> None:
    record = office.approved()
    record.close()
    path = record.folder / "order.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("sửa chữa", "thí nghiệm"), encoding="utf-8")

    with pytest.raises(OrderRefused, match="was changed after it was drafted"):
        open_record(record.folder, PROVINCE)


def test_a_changed_record_is_found(office: Office) -> None:
    record = office.approved()
    record.close()
    path = record.folder / "record.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("dispatcher-2", "dispatcher-9"), encoding="utf-8")

    with pytest.raises(OrderRefused, match="entry 3"):
        read_record(record.folder)
    with pytest.raises(ChainError, match="entry 3"):
        open_record(record.folder, PROVINCE)


def test_only_one_process_at_a_time_holds_an_order(office: Office) -> None:
    with office.approved() as record, pytest.raises(ChainError, match="another process"):
        open_record(record.folder, PROVINCE)


def test_an_unknown_order_is_said_to_be_unknown(office: Office) -> None:
    with pytest.raises(OrderRefused, match="there is no order 2026-0099"):
        open_record(office.root / "2026-0099", PROVINCE)


# --- carried out ---------------------------------------------------------------------------------------------------


class Clock:
    """A microsecond later at every look."""

    def __init__(self) -> None:
        self._now: Iterator[int] = iter(range(NOW + 1, NOW + 1_000_000))

    def __call__(self) -> int:
        return next(self._now)


def runner(office: Office, told: list[str] | None = None, *, staff: bool = False) -> OrderRun:
    """``staff`` do what they are told at once."""
    said = [] if told is None else told

    def tell(number: int, sentence: str) -> None:
        said.append(f"{number} {sentence}")
        if staff and "waiting for its position" in sentence:
            office.desk.move("S1/171-76", Action.CLOSE)

    return OrderRun(office.desk, office.rules, office.load_flow.topology, Clock(), tell)


async def test_every_step_is_done_read_back_and_logged(office: Office) -> None:
    told: list[str] = []
    with office.approved() as record:
        assert await runner(office, told, staff=True).carry_out(record, PREPARER) is OrderState.COMPLETED

    status = read_record(record.folder)
    assert (status.state, status.executed_by) == (OrderState.COMPLETED, PREPARER)
    assert [(each.number, each.outcome) for each in status.steps] == [(n, "completed") for n in range(1, 7)]
    assert office.desk.operated == [
        ("S1/171 open", "2026-0042", 2),
        ("S2/171 open", "2026-0042", 3),
        ("S1/171-7 open", "2026-0042", 4),
        ("S2/171-7 open", "2026-0042", 5),
    ]
    assert "S1/171-76" in office.truth.closed
    assert told[0] == "1 check"
    assert told[-1] == "0 completed"


async def test_a_set_point_is_simulated_signed_with_its_value_and_given_by_the_desk_alone(office: Office) -> None:
    shown = 'expect = [{ point = "S1/T1/voltage_set_point", above = 23.0 }]\n'
    text = ORDER[: ORDER.index("[[step]]")] + SET + shown
    assert [each.refused for each in office.check.simulate(office.written(text).order, None, NOW).steps] == [""]
    unmet = office.check.simulate(office.written(text.replace("above", "below")).order, None, NOW)
    assert "S1/T1/voltage_set_point < 23, but it is 23.1" in unmet.steps[0].refused
    (step,) = office.written(text).order.step
    operation = operation_of(step, PROVINCE)
    assert operation == Operation("S1", "T1", "avr.voltage_setpoint", "", Action.SET, 23.1, "kV")
    assert str(step) == "set S1/T1/avr.voltage_setpoint 23.1 kV"
    assert step_words(step, PROVINCE) == "Đặt T1/avr.voltage_setpoint = 23.1 kV (S1)"
    office.desk.answers["S1/T1/avr.voltage_setpoint"] = lambda: Done(Outcome.REFUSED, "position reached (…)")
    with office.approved(ORDER[: ORDER.index("[[step]]")] + SET) as record:
        assert await runner(office).carry_out(record, PREPARER) is OrderState.STOPPED
    assert office.desk.operated == [("S1/T1/avr.voltage_setpoint set 23.1 kV", "2026-0042", 1)]


def test_a_set_point_is_not_given_while_the_tap_changer_moves(office: Office) -> None:
    office.desk.seen.said["S1/T1/oltc_in_progress"] = 1.0
    verdict = office.check.simulate(office.written(HEAD + SET).order, office.desk.seen, NOW)
    assert verdict.steps[0].refused.startswith("blocked by process (Tap change in progress")


async def test_a_step_is_on_the_disk_before_it_is_done(office: Office) -> None:
    with office.approved() as record:
        found: list[str] = []

        def look() -> Done:
            found.extend(entry.kind for entry in entries(record.folder / "record.jsonl"))
            return Done(Outcome.REFUSED, "no")

        office.desk.answers["S1/171"] = look
        await runner(office).carry_out(record, PREPARER)

    assert found == ["draft", "pass", "approve", "begin", "step", "step_done", "step"]


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [(Outcome.REFUSED, "blocked by interlocking (…)"), (Outcome.UNKNOWN, "the link was lost")],
)
async def test_the_first_step_that_is_not_completed_stops_the_order(
    office: Office, outcome: Outcome, sentence: str
) -> None:
    office.desk.answers["S2/171"] = lambda: Done(outcome, sentence, "command 3")
    with office.approved() as record:
        assert await runner(office).carry_out(record, PREPARER) is OrderState.STOPPED
        status = record.status

    assert status.reason == f"step 3: {sentence}"
    assert (status.steps[-1].outcome, status.steps[-1].command) == (str(outcome), "command 3")
    assert [target for target, _, _ in office.desk.operated] == ["S1/171 open", "S2/171 open"]


async def test_a_position_that_does_not_follow_is_unknown_and_stops(office: Office) -> None:
    office.desk.answers["S1/171"] = lambda: Done(Outcome.COMPLETED, "said to be done")
    with office.approved() as record:
        await runner(office).carry_out(record, PREPARER)

    assert record.status.reason == f"step 2: S1/171 is not shown as open after {SETTLE_S:g} s"
    assert record.status.steps[-1].outcome == "unknown"
    assert office.desk.paused_s == SETTLE_S


async def test_a_reading_that_does_not_come_stops(office: Office) -> None:
    with office.approved() as record:
        office.desk.seen.said["S2/171/voltage_l12"] = 64.0
        await runner(office).carry_out(record, PREPARER)

    assert record.status.reason == ("step 3: the expected reading did not come: S2/171/voltage_l12 < 1, but it is 64")
    assert record.status.steps[-1].outcome == "unknown", "it was carried out; nothing of it was refused"


async def test_a_doubtful_reading_proves_nothing(office: Office) -> None:
    with office.approved() as record:
        office.desk.seen.doubtful["S1/171/171.position"] = 2.0
        await runner(office).carry_out(record, PREPARER)

    assert record.status.reason == (
        "step 1: the expected reading did not come: S1/171/171.position = 2, but it is not topical"
    )
    assert record.status.steps[-1].outcome == "refused", "a check does nothing"


async def test_staff_are_not_told_to_do_what_is_forbidden(office: Office) -> None:
    told: list[str] = []
    with office.approved() as record:
        office.desk.seen.said["S1/171/voltage_l23"] = 63.0
        await runner(office, told).carry_out(record, PREPARER)

    assert record.status.reason.startswith("step 6: blocked by interlocking (S1/171:line is not dead")
    assert not any("staff" in each for each in told)


async def test_staff_who_do_not_act_in_time_stop_the_order(office: Office) -> None:
    with office.approved() as record:
        await runner(office).carry_out(record, PREPARER)

    assert record.status.reason == "step 6: S1/171-76 was not reported close within 60 s"
    assert office.desk.paused_s == 60.0


async def test_a_lost_desk_leaves_the_step_unknown(office: Office) -> None:
    def lost() -> Done:
        raise LinkError("no answer")

    office.desk.answers["S1/171"] = lost
    with office.approved() as record:
        assert await runner(office).carry_out(record, PREPARER) is OrderState.STOPPED

    assert record.status.reason == "step 2: the control desk is lost: no answer"
    assert record.status.steps[-1].outcome == "unknown"


async def test_whatever_breaks_off_leaves_the_order_stopped(office: Office) -> None:
    def bug() -> Done:
        raise RuntimeError("a bug")

    office.desk.answers["S1/171"] = bug
    with office.approved() as record:
        with pytest.raises(RuntimeError, match="a bug"):
            await runner(office).carry_out(record, PREPARER)
        assert record.status.state is OrderState.STOPPED

    assert read_record(record.folder).steps[-1].outcome == "unknown"


async def test_after_a_crash_the_order_is_stopped_and_never_resumed(office: Office) -> None:
    with office.approved() as record:
        record.add(OrderEvent.BEGIN, {"by": PREPARER}, NOW)
        record.add(OrderEvent.STEP, {"number": 1, "step": "x"}, NOW)
    with open_record(record.folder, PROVINCE) as again:
        with pytest.raises(OrderRefused, match="interrupted"):
            await runner(office).carry_out(again, PREPARER)
        assert again.status.state is OrderState.STOPPED
        assert again.status.steps[-1].outcome == "unknown"
    assert office.desk.operated == []


@pytest.mark.parametrize("stage", ["drafted", "checked"])
async def test_nothing_is_carried_out_that_was_not_approved(office: Office, stage: str) -> None:
    record: OrderRecord = getattr(office, stage)()
    with record, pytest.raises(OrderRefused, match="it cannot begin now"):
        await runner(office).carry_out(record, PREPARER)

    assert office.desk.operated == []


async def test_an_order_is_carried_out_once(office: Office) -> None:
    with office.approved() as record:
        await runner(office, staff=True).carry_out(record, PREPARER)
        with pytest.raises(OrderRefused, match="is completed: it cannot begin now"):
            await runner(office).carry_out(record, PREPARER)


# --- on paper ------------------------------------------------------------------------------------------------------


def test_steps_are_worded_in_vietnamese() -> None:
    assert step_words(Step(StepAction.OPEN, "S1/171"), PROVINCE) == "Cắt máy cắt 171 (S1)"
    assert step_words(Step(StepAction.CLOSE, "S1/171-76"), PROVINCE) == "Đóng dao tiếp địa 171-76 (S1)"
    assert step_words(Step(StepAction.RAISE, "S1/T1"), PROVINCE) == "Tăng nấc máy biến áp T1 (S1)"
    assert step_words(Step(StepAction.CHECK), PROVINCE) == "Kiểm tra"


async def test_the_paper_shows_persons_steps_and_outcomes(office: Office) -> None:
    with office.approved() as record:
        office.desk.answers["S2/171"] = lambda: Done(Outcome.REFUSED, "blocked", "c")
        await runner(office).carry_out(record, PREPARER)
        content = order_content(record.file, record.status, PROVINCE, "Asia/Ho_Chi_Minh")

    assert content["state"] == "Đã dừng"
    assert [(each["role"], each["name"]) for each in content["persons"]] == [
        ("Người lập phiếu", PREPARER),
        ("Kiểm tra bằng mô phỏng", "Đạt"),
        ("Người duyệt phiếu", APPROVER),
        ("Người thực hiện", PREPARER),
    ]
    assert content["persons"][0]["time"] == "21:13:20 21/09/2026"
    assert [each["outcome"] for each in content["steps"]] == ["Đã thực hiện", "Đã thực hiện", "Bị từ chối", "", "", ""]
    assert content["steps"][2]["sentence"] == "blocked"


async def test_the_paper_tells_in_vietnamese_what_the_desk_said_and_the_record_keeps_it(office: Office) -> None:
    with office.approved() as record:
        said = "blocked by interlocking (the circuit of S2/171 is not interrupted: S2/172 is closed)"
        office.desk.answers["S2/171"] = lambda: Done(Outcome.REFUSED, said, "c")
        await runner(office).carry_out(record, PREPARER)
        content = order_content(record.file, record.status, PROVINCE, "UTC", lambda each: told(each, "vi"))

    words = "bị khóa liên động (mạch của S2/171 chưa bị cắt: S2/172 đang đóng)"
    assert (content["steps"][2]["sentence"], content["reason"]) == (words, f"bước 3: {words}")
    assert read_record(record.folder).steps[-1].sentence == said


def test_the_paper_is_a_pdf_whose_title_bears_the_number(office: Office) -> None:
    with office.approved() as record:
        pdf = order_pdf(record.file, record.status, PROVINCE, "Asia/Ho_Chi_Minh")

    reader = PdfFileReader(io.BytesIO(pdf))
    assert str(reader.trailer["/Info"]["/Title"]) == "Phiếu thao tác 2026-0042"
    assert b"pdfaid:part" in pdf


def test_an_operation_of_a_step_is_that_of_the_desk(office: Office) -> None:
    order = office.written(ORDER).order

    assert operation_of(order.step[0], PROVINCE) is None
    assert operation_of(order.step[1], PROVINCE) == Operation("S1", "171", "171.operate", "171", Action.OPEN)
