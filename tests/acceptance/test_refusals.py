"""Every order that must not be carried out is refused with its cause and a sentence, is in the journal, and no frame of
it reaches the station; what cannot be known is told as unknown and not tried again.

A real simulated station behind a socket; the table of reasons is printed at the end (``make refusals``).
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from rich.table import Table

from scada.clock import now_us
from scada.control.authority import AuthorityTable
from scada.control.jws import countersign, sign
from scada.control.lifecycle import State
from scada.control.message import US, TagKind, Wish
from scada.control.policy import PointClass
from scada.control.readiness import Controllable
from scada.model.addcause import AddCause
from scada.model.event import EventKind
from scada.model.quality import Quality
from scada.model.station import CommandKind, CommandPoint
from scada.model.switching import Action
from tests.fakes_control import Rig, Trick, rig_at
from tests.refusing import Answer, Case, Refusals, judged, printed_table

pytestmark = [pytest.mark.integration, pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

SET_POINT = "TN01/T1/avr.voltage_setpoint"
FEEDER, LINE, DISCONNECTOR, COUPLER = "TN01/471", "TN01/171", "TN01/171-7", "TN01/112"
REFUSALS = Refusals()
case = REFUSALS.case


# -- the signature and who made it


@case("a changed byte", AddCause.NO_ACCESS_AUTHORITY, "does not fit the content")
async def changed_byte(rig: Rig) -> Answer:
    import base64  # noqa: PLC0415  # only here bytes are bent

    import msgspec  # noqa: PLC0415  # only here bytes are bent

    fields = msgspec.json.decode(rig.document("dispatcher-1", target=FEEDER, action=Action.CLOSE))
    payload = base64.urlsafe_b64decode(fields["payload"] + "==").replace(b"close", b"open\x20")
    payload = payload.replace(b"open\x20", b"open")
    fields["payload"] = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    return await rig.desk.submit(msgspec.json.encode(fields))


@case("no JWS at all", AddCause.NO_ACCESS_AUTHORITY, "not signed as it must be")
async def garbage(rig: Rig) -> Answer:
    return await rig.desk.submit(b'{"target":"TN01/471","action":"open"}')


@case("signed by another key", AddCause.NO_ACCESS_AUTHORITY, "issued by nobody we trust")
async def another_key(rig: Rig) -> Answer:
    message = rig.message("dispatcher-1", target=FEEDER, action=Action.OPEN)
    return await rig.desk.submit(sign(message.payload, rig.signer("stranger-1")))


@case("signed by a colleague in another's name", AddCause.NO_ACCESS_AUTHORITY, "says dispatcher-1")
async def anothers_name(rig: Rig) -> Answer:
    message = rig.message("dispatcher-1", target=FEEDER, action=Action.OPEN)
    return await rig.desk.submit(sign(message.payload, rig.signer("dispatcher-2")))


@case("an expired certificate", AddCause.NO_ACCESS_AUTHORITY, "expired on")
async def expired_certificate(rig: Rig) -> Answer:
    return await rig.submit("expired-1", FEEDER, Action.OPEN)


@case("a certificate that is not valid yet", AddCause.NO_ACCESS_AUTHORITY, "is not valid before")
async def early_certificate(rig: Rig) -> Answer:
    return await rig.submit("early-1", FEEDER, Action.OPEN)


@case("a revoked certificate", AddCause.NO_ACCESS_AUTHORITY, "was revoked on")
async def revoked_certificate(rig: Rig) -> Answer:
    return await rig.submit("revoked-1", FEEDER, Action.OPEN)


@case("a certificate that is not in the table", AddCause.NO_ACCESS_AUTHORITY, "not in the authority table")
async def unlisted(rig: Rig) -> Answer:
    return await rig.submit("unlisted-1", FEEDER, Action.OPEN)


@case("the wrong role", AddCause.NO_ACCESS_AUTHORITY, "to operate takes OPERATOR")
async def wrong_role(rig: Rig) -> Answer:
    return await rig.submit("viewer-1", FEEDER, Action.OPEN)


@case("another area", AddCause.NO_ACCESS_AUTHORITY, "may operate in TN02, not in TN01")
async def other_area(rig: Rig) -> Answer:
    return await rig.submit("dispatcher-far", FEEDER, Action.OPEN)


# -- freshness


@case("a replayed message", AddCause.COMMAND_ALREADY_IN_EXECUTION, "was received before")
async def replay(rig: Rig) -> Answer:
    document = rig.document("dispatcher-1", target=FEEDER, action=Action.CLOSE)
    await rig.desk.submit(document)
    return await rig.desk.submit(document)


@case("a replayed message, after a restart", AddCause.COMMAND_ALREADY_IN_EXECUTION, "was received before")
async def replay_after_restart(rig: Rig) -> Answer:
    document = rig.document("dispatcher-1", target=FEEDER, action=Action.CLOSE)
    await rig.desk.submit(document)
    await rig.stop_desk()
    rig.start_desk()
    return await rig.desk.submit(document)


@case("an expired command", AddCause.TIME_LIMIT_OVER, "expired")
async def expired(rig: Rig) -> Answer:
    return await rig.submit("dispatcher-1", FEEDER, Action.OPEN, age_s=3600.0, holds_s=30.0)


@case("a command 65 s old that held for 60 s", AddCause.TIME_LIMIT_OVER, "it is 65.0 s old and expired 5.0 s ago")
async def sixty_five_seconds(rig: Rig) -> Answer:
    with rig.standing_clock():
        return await rig.submit("dispatcher-1", FEEDER, Action.OPEN, age_s=65.0, holds_s=60.0)


@case("commands 60 to 69 s old", AddCause.TIME_LIMIT_OVER, "it is 69.0 s old")
async def sixty_to_sixty_nine(rig: Rig) -> Answer:
    with rig.standing_clock():
        for age in range(60, 69):
            report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN, age_s=float(age), holds_s=60.0)
            assert report["refusals"][0]["cause"] == AddCause.TIME_LIMIT_OVER
        return await rig.submit("dispatcher-1", FEEDER, Action.OPEN, age_s=69.0, holds_s=60.0)


@case("the desk's clock behind the signer's", AddCause.TIME_LIMIT_OVER, "in the future")
async def clock_behind(rig: Rig) -> Answer:
    return await rig.submit("dispatcher-1", FEEDER, Action.OPEN, age_s=-30.0)


@case("the desk's clock behind its journal", AddCause.BLOCKED_BY_HEALTH, "behind its own journal")
async def clock_set_back(rig: Rig) -> Answer:
    rig.skew_us = -3600 * US
    try:
        return await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    finally:
        rig.skew_us = 0


@case("a command made to hold for a day", AddCause.INCONSISTENT_PARAMETERS, "made to hold for 86400 s")
async def holds_too_long(rig: Rig) -> Answer:
    return await rig.submit("dispatcher-1", FEEDER, Action.OPEN, holds_s=86400.0)


# -- select and execute


@case("execute without select", AddCause.OBJECT_NOT_SELECTED, "is not selected")
async def execute_without_select(rig: Rig) -> Answer:
    return await rig.about({"id": "01a2030d-4b32-7a00-a7a0-e4cdfe8bb58a"}, Wish.EXECUTE)


@case("execute after the time-out", AddCause.OBJECT_NOT_SELECTED, "no execute in time")
async def execute_late(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    rig.pass_time()
    await rig.ended(report)
    return await rig.about(report, Wish.EXECUTE)


@case("execute by another person", AddCause.LOCKED_BY_OTHER_CLIENT, "selected by dispatcher-1, not by dispatcher-2")
async def execute_by_another(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    answer = await rig.about(report, Wish.EXECUTE, by="dispatcher-2")
    await rig.about(report, Wish.CANCEL)
    return answer


@case("execute before the approval", AddCause.OBJECT_NOT_SELECTED, "waits for approval")
async def execute_unapproved(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN, Wish.SELECT)
    answer = await rig.about(report, Wish.EXECUTE)
    await rig.about(report, Wish.CANCEL)
    return answer


@case("two dispatchers at once", AddCause.LOCKED_BY_OTHER_CLIENT, "reserved for dispatcher-1")
async def two_dispatchers(rig: Rig) -> Answer:
    first = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    answer = await rig.submit("dispatcher-2", FEEDER, Action.OPEN)
    await rig.about(first, Wish.CANCEL)
    return answer


@case("the same dispatcher twice", AddCause.OBJECT_ALREADY_SELECTED, "reserved for dispatcher-1")
async def twice(rig: Rig) -> Answer:
    first = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    answer = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    await rig.about(first, Wish.CANCEL)
    return answer


@case("cancelled in time", AddCause.ABORTED_BY_CANCEL, "cancelled by dispatcher-2")
async def cancelled(rig: Rig) -> Answer:
    first = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    return await rig.ended(await rig.about(first, Wish.CANCEL, by="dispatcher-2"))


@case("no approval in time", AddCause.TIME_LIMIT_OVER, "no approval in time")
async def no_approval(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    rig.pass_time()
    return await rig.ended(report)


@case("a test order", AddCause.ABORTED_BY_CANCEL, "the test flag")
async def flagged_as_test(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.OPEN, test=True)


# -- two persons


@case("approver = requester", AddCause.NO_ACCESS_AUTHORITY, "cannot approve it as well")
async def own_approval(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    answer = await rig.approve(report, by="dispatcher-1")
    await rig.about(report, Wish.CANCEL)
    return answer


@case("approval of another payload", AddCause.INCONSISTENT_PARAMETERS, "not what was requested")
async def another_payload(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    message = replace_message(rig, report)
    answer = await rig.desk.approve(countersign(message, rig.signer("dispatcher-2")))
    await rig.about(report, Wish.CANCEL)
    return answer


def replace_message(rig: Rig, report: Answer) -> bytes:
    return rig.document("dispatcher-1", id=report["id"], target=FEEDER, action=Action.OPEN, reason="another")


@case("approval by a viewer", AddCause.NO_ACCESS_AUTHORITY, "to approve takes OPERATOR")
async def viewer_approves(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    answer = await rig.approve(report, by="viewer-1")
    await rig.about(report, Wish.CANCEL)
    return answer


@case("approval from another area", AddCause.NO_ACCESS_AUTHORITY, "not in TN01")
async def far_approves(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    answer = await rig.approve(report, by="dispatcher-far")
    await rig.about(report, Wish.CANCEL)
    return answer


@case("an emergency override without a reason", AddCause.INCONSISTENT_PARAMETERS, "needs a reason")
async def emergency_without_reason(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.OPEN, emergency=True)


# -- the device itself


@case("an unknown device", AddCause.NOT_SUPPORTED, "nothing here is called")
async def unknown_device(rig: Rig) -> Answer:
    return await rig.operate("TN01/999", Action.OPEN)


@case("an action the device does not know", AddCause.NOT_SUPPORTED, "not to raise")
async def wrong_action(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.RAISE)


# -- set-points: the voltage regulator of T1, 21 to 24 kV in steps of 0.01, shipped with 22.44


async def set_to(rig: Rig, value: float, unit: str = "kV", **fields: Any) -> Answer:
    return await rig.operate(SET_POINT, Action.SET, set_point=value, unit=unit, **fields)


@case("a value with an opening", AddCause.INCONSISTENT_PARAMETERS, "open takes no set_point")
async def value_for_a_switch(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.OPEN, set_point=1.5)


@case("a set without a value", AddCause.INCONSISTENT_PARAMETERS, "set needs the value as set_point")
async def set_without_a_value(rig: Rig) -> Answer:
    return await rig.operate(SET_POINT, Action.SET)


@case("a value with a cancel", AddCause.INCONSISTENT_PARAMETERS, "cancel takes no set_point")
async def value_for_a_cancel(rig: Rig) -> Answer:
    return await rig.about({"id": "01a2030d-4b32-7a00-a7a0-e4cdfe8bb58a"}, Wish.CANCEL, set_point=1.5)


@case("a set of a switch", AddCause.NOT_SUPPORTED, "not to set")
async def set_of_a_switch(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.SET, set_point=1.5)


@case("an opening of a set-point", AddCause.NOT_SUPPORTED, "can be told to set, not to open")
async def opening_of_a_set_point(rig: Rig) -> Answer:
    return await rig.operate(SET_POINT, Action.OPEN)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e999"])
async def test_a_set_point_that_is_no_finite_number_is_no_message(rig: Rig, word: str) -> None:
    payload = rig.message("dispatcher-1", target=SET_POINT, action=Action.SET, set_point=23.1, unit="kV").payload
    assert payload.count(b"23.1") == 1
    bent = sign(payload.replace(b"23.1", word.encode()), rig.signer("dispatcher-1"))
    refusal = (await rig.desk.submit(bent))["refusals"][0]
    assert AddCause(refusal["cause"]) is AddCause.INCONSISTENT_PARAMETERS
    assert rig.simulated.plant.signal("TN01/T1/voltage_set_point") == 22.44


@case("a set-point above its limits", AddCause.INCONSISTENT_PARAMETERS, "24.01 kV is outside the limits of TN01/T1/avr")
async def above_limits(rig: Rig) -> Answer:
    return await set_to(rig, 24.01)


@case("a set-point below its limits", AddCause.INCONSISTENT_PARAMETERS, "21 to 24 kV")
async def below_limits(rig: Rig) -> Answer:
    return await set_to(rig, -23.1)


@case("a set-point in another unit", AddCause.INCONSISTENT_PARAMETERS, "is set in kV; the unit given is 'V'")
async def another_unit(rig: Rig) -> Answer:
    return await set_to(rig, 23.1, "V")


@case("a set-point without a unit", AddCause.INCONSISTENT_PARAMETERS, "the unit given is none")
async def no_unit(rig: Rig) -> Answer:
    return await set_to(rig, 23.1, "")


@case("a set-point the wire would round", AddCause.INCONSISTENT_PARAMETERS, "23.123 lies between two steps of 0.01")
async def between_two_steps(rig: Rig) -> Answer:
    return await set_to(rig, 23.123)


@case("a set-point already in force", AddCause.POSITION_REACHED, "is 22.44 kV already")
async def already_in_force(rig: Rig) -> Answer:
    return await set_to(rig, 22.44)


@case("a set-point of doubtful quality", AddCause.INVALID_POSITION, "is in doubt")
async def doubtful_set_point(rig: Rig) -> Answer:
    rig.show("TN01/T1/voltage_set_point", quality=Quality.INVALID)
    return await set_to(rig, 23.1)


@case("a set-point in local mode", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, "is in local mode")
async def set_point_in_local(rig: Rig) -> Answer:
    rig.show("TN01/T1/oltc_local_remote", 0.0)
    return await set_to(rig, 23.1)


@case("a set-point while the tap moves", AddCause.BLOCKED_BY_PROCESS, "oltc_in_progress is on")
async def set_point_while_stepping(rig: Rig) -> Answer:
    rig.show("TN01/T1/oltc_in_progress", 1.0)
    return await set_to(rig, 23.1)


@case("a set-point under a tag", AddCause.BLOCKED_BY_COMMAND, "control inhibit")
async def set_point_under_a_tag(rig: Rig) -> Answer:
    tag = await rig.desk.submit(
        rig.document("dispatcher-2", Wish.TAG, target="TN01/T1", tag=TagKind.CONTROL_INHIBIT, reason="test")
    )
    answer = await set_to(rig, 23.1)
    await rig.desk.submit(rig.document("dispatcher-2", Wish.UNTAG, subject=tag["tag"]["id"]))
    return answer


@case("a set-point the station echoes otherwise", AddCause.SELECT_FAILED, "echo 0 instead of 2310")
async def wrong_echo(rig: Rig) -> Answer:
    rig.proxy.expect(select=Trick.LIE)
    answer = await set_to(rig, 23.1)
    rig.proxy.expect()
    return answer


@case(
    "a set-point that is not taken over", AddCause.TIME_LIMIT_OVER, "did not set 23.1 kV", outcome="unknown", orders=1
)
async def not_taken_over(rig: Rig) -> Answer:
    rig.simulated.plant.stick("TN01", "T1", stuck=True)
    answer = await rig.operate_in_vain(SET_POINT, Action.SET, set_point=23.1, unit="kV")
    rig.simulated.plant.stick("TN01", "T1", stuck=False)
    return answer


@case("direct control of what wants a select", AddCause.INCONSISTENT_PARAMETERS, "wants to be selected first")
async def direct(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.OPEN, model="direct")


@case("position already reached", AddCause.POSITION_REACHED, "is closed already")
async def reached(rig: Rig) -> Answer:
    return await rig.operate(FEEDER, Action.CLOSE)


@case("intermediate position", AddCause.INVALID_POSITION, "is in intermediate position")
async def intermediate(rig: Rig) -> Answer:
    rig.show("TN01/471/471.position", 0.0)
    return await rig.operate(FEEDER, Action.OPEN)


@case("faulty position", AddCause.INVALID_POSITION, "is in faulty position")
async def faulty(rig: Rig) -> Answer:
    rig.show("TN01/471/471.position", 3.0)
    return await rig.operate(FEEDER, Action.OPEN)


@case("position of doubtful quality", AddCause.INVALID_POSITION, "is in doubt")
async def doubtful_position(rig: Rig) -> Answer:
    rig.show("TN01/471/471.position", quality=Quality.NOT_TOPICAL)
    return await rig.operate(FEEDER, Action.OPEN)


@case("local mode", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, "is in local mode")
async def local_mode(rig: Rig) -> Answer:
    rig.show("TN01/471/local_remote", 0.0)
    return await rig.operate(FEEDER, Action.OPEN)


@case("local mode in doubt", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, "whether it is remote is in doubt")
async def local_mode_in_doubt(rig: Rig) -> Answer:
    rig.show("TN01/471/local_remote", quality=Quality.INVALID)
    return await rig.operate(FEEDER, Action.OPEN)


# -- synchrocheck: TN02 to TN06 hang on the supply of TN03 alone, everything else on those of TN10 and TN17


def two_islands(rig: Rig, *more: str) -> None:
    for station, breaker in (("TN03", "174"), ("TN05", "173"), ("TN06", "173"), *(each.split("/") for each in more)):
        rig.show(f"{station}/{breaker}/{breaker}.position", 1.0)


@case("two islands the relay does not release (angle)", AddCause.BLOCKED_BY_SYNCHROCHECK, "release of TN01/171 is not")
async def islands_not_released(rig: Rig) -> Answer:
    two_islands(rig, "TN01/171")
    rig.show("TN01/171/synchrocheck_released", 0.0)
    return await rig.operate(LINE, Action.CLOSE)


@case("two islands of different frequency", AddCause.BLOCKED_BY_SYNCHROCHECK, "Hz, more than 0.1 Hz")
async def islands_of_two_frequencies(rig: Rig) -> Answer:
    two_islands(rig, "TN01/171")
    rig.show("TN01/171/frequency", 49.6)
    return await rig.operate(LINE, Action.CLOSE)


@case("two islands of different voltage, at a coupler", AddCause.BLOCKED_BY_SYNCHROCHECK, "kV, more than 11.0 kV")
async def islands_of_two_voltages(rig: Rig) -> Answer:
    two_islands(rig, "TN01/173", COUPLER)
    rig.show("TN01/TD/TUC11.voltage_l12", 98.0)
    return await rig.operate(COUPLER, Action.CLOSE)


@case("two islands, the frequency of one unknown", AddCause.BLOCKED_BY_SYNCHROCHECK, "is not known for synchrocheck")
async def islands_of_unknown_frequency(rig: Rig) -> Answer:
    two_islands(rig, "TN01/171")
    rig.show("TN01/171/frequency", quality=Quality.NOT_TOPICAL)
    return await rig.operate(LINE, Action.CLOSE)


# -- interlocking


def with_drive(rig: Rig, name: str) -> str:
    """The shipped stations earth by hand: here one of their earthing switches has a motor."""
    device = next(each for each in rig.station.devices if each.name == name)
    kind = CommandKind.DOUBLE_COMMAND
    command = CommandPoint(f"{name}.operate", name, kind, select=True, return_information=device.position)
    each = Controllable(rig.station, device.bay, command, device, PointClass.EARTHING_SWITCH, ())
    rig.desk._parts.controllables[each.target] = each  # type: ignore[index]  # a dict
    return each.target


@case("an earthing switch at a live line", AddCause.BLOCKED_BY_INTERLOCKING, "TN01/171:line is energised")
async def earth_at_live_line(rig: Rig) -> Answer:
    return await rig.operate(with_drive(rig, "171-76"), Action.CLOSE)


def isolated_line(rig: Rig) -> None:
    """Line 171 open at both ends, by position."""
    for station in ("TN01", "TN02"):
        for device in ("171", "171-1", "171-7"):
            rig.show(f"{station}/171/{device}.position", 1.0)


@case("an earthing switch where a voltage is measured", AddCause.BLOCKED_BY_INTERLOCKING, "is not dead")
async def earth_under_voltage(rig: Rig) -> Answer:
    isolated_line(rig)
    return await rig.operate(with_drive(rig, "171-76"), Action.CLOSE)


@case("an earthing switch where no voltage proves it dead", AddCause.BLOCKED_BY_INTERLOCKING, "is not proven dead")
async def earth_unproven(rig: Rig) -> Answer:
    isolated_line(rig)
    for station in ("TN01", "TN02"):
        for phases in ("l12", "l23", "l31"):
            rig.show(f"{station}/171/voltage_{phases}", 0.0, Quality.INVALID)
    return await rig.operate(with_drive(rig, "171-76"), Action.CLOSE)


@case("the last tap", AddCause.STEP_LIMIT, "last step")
async def last_tap(rig: Rig) -> Answer:
    rig.show("TN01/T1/oltc_automatic", 0.0)
    rig.show("TN01/T1/tap_position", 19.0)
    return await rig.operate("TN01/T1", Action.RAISE)


@case("a neighbour under way", AddCause.ONE_OF_N_CONTROL, "its neighbourhood must stand still")
async def neighbour_under_way(rig: Rig) -> Answer:
    rig.proxy.expect(operate=Trick.LIE)
    first = await rig.approve(await rig.submit("dispatcher-1", "TN01/473", Action.OPEN))
    course = rig.desk.courses[first["id"]]
    while course.state is not State.CONFIRMED:
        await course.changed.wait()
    answer = await rig.operate(FEEDER, Action.OPEN)
    rig.pass_time()
    await rig.ended(first)
    await rig.desk._parts.links.of("TN01").cancel("TN01/473/473.operate")
    return answer


@case("a disconnector under load", AddCause.BLOCKED_BY_INTERLOCKING, "is not interrupted")
async def disconnector_under_load(rig: Rig) -> Answer:
    return await rig.operate(DISCONNECTOR, Action.OPEN)


@case("a disconnector while the breaker's position is in doubt", AddCause.BLOCKED_BY_INTERLOCKING, "TN01/171")
async def disconnector_in_doubt(rig: Rig) -> Answer:
    rig.show("TN01/171/171.position", 1.0, Quality.NOT_TOPICAL)
    return await rig.operate(DISCONNECTOR, Action.OPEN)


@case("a breaker that would meet an earth", AddCause.BLOCKED_BY_INTERLOCKING, "471-76")
async def breaker_onto_earth(rig: Rig) -> Answer:
    rig.show("TN01/471/471.position", 1.0)
    rig.show("TN01/471/471-76.position", 2.0)
    return await rig.operate(FEEDER, Action.CLOSE)


@case("a disconnector towards an earth", AddCause.BLOCKED_BY_INTERLOCKING, "would connect a source to an earth")
async def disconnector_onto_earth(rig: Rig) -> Answer:
    rig.show("TN01/171/171.position", 1.0)
    rig.show("TN01/171/171-1.position", 1.0)
    rig.show("TN01/171/171-15.position", 2.0)
    return await rig.operate("TN01/171-1", Action.CLOSE)


@case("a breaker whose trip circuit is faulty", AddCause.BLOCKED_BY_HEALTH, "471")
async def health(rig: Rig) -> Answer:
    rig.show("TN01/471/471.trip_circuit_fault", 1.0)
    return await rig.operate(FEEDER, Action.OPEN)


@case("a tap changer that is under way", AddCause.BLOCKED_BY_PROCESS, "oltc_in_progress")
async def tap_in_motion(rig: Rig) -> Answer:
    rig.show("TN01/T1/oltc_automatic", 0.0)
    rig.show("TN01/T1/oltc_in_progress", 1.0)
    return await rig.operate("TN01/T1", Action.RAISE)


@case("a tap changer on automatic", AddCause.BLOCKED_BY_MODE, "automatic")
async def tap_on_automatic(rig: Rig) -> Answer:
    return await rig.operate("TN01/T1", Action.RAISE)


# -- tags


async def tagged(rig: Rig, kind: TagKind, target: str, by: str = "engineer-1") -> Answer:
    tag = await rig.desk.submit(rig.document(by, Wish.TAG, target=target, tag=kind, reason="people at work"))
    answer = await rig.operate(FEEDER, Action.OPEN)
    removed = await rig.desk.submit(rig.document(by, Wish.UNTAG, subject=tag["tag"]["id"]))
    assert removed["removed"]["id"] == tag["tag"]["id"]
    return answer


@case(
    "a control-inhibit tag on the device", AddCause.BLOCKED_BY_COMMAND, "control inhibit tag of engineer-1 on TN01/471"
)
async def inhibited(rig: Rig) -> Answer:
    return await tagged(rig, TagKind.CONTROL_INHIBIT, FEEDER)


@case("a control-inhibit tag on the station", AddCause.BLOCKED_BY_COMMAND, "control inhibit tag of engineer-1 on TN01")
async def inhibited_station(rig: Rig) -> Answer:
    return await tagged(rig, TagKind.CONTROL_INHIBIT, "TN01")


@case("an out-of-service tag", AddCause.BLOCKED_BY_MODE, "out of service tag")
async def out_of_service(rig: Rig) -> Answer:
    return await tagged(rig, TagKind.OUT_OF_SERVICE, FEEDER)


@case("control authority of another", AddCause.LOCKED_BY_OTHER_CLIENT, "only engineer-1 may operate")
async def authority_of_another(rig: Rig) -> Answer:
    return await tagged(rig, TagKind.CONTROL_AUTHORITY, FEEDER)


@case("one of two inhibiting tags removed", AddCause.BLOCKED_BY_COMMAND, "control inhibit tag of dispatcher-2")
async def one_of_two_tags(rig: Rig) -> Answer:
    own = await rig.desk.submit(
        rig.document("dispatcher-2", Wish.TAG, target=FEEDER, tag=TagKind.CONTROL_INHIBIT, reason="mine")
    )
    first = await tagged(rig, TagKind.CONTROL_INHIBIT, FEEDER)
    assert len(first["refusals"]) == 2
    answer = await rig.operate(FEEDER, Action.OPEN)
    await rig.desk.submit(rig.document("engineer-1", Wish.UNTAG, subject=own["tag"]["id"]))
    return answer


@case("a tag removed by one who may not", AddCause.NO_ACCESS_AUTHORITY, "to remove the tags of others takes ENGINEER")
async def tag_of_another(rig: Rig) -> Answer:
    tag = await rig.desk.submit(rig.document("engineer-1", Wish.TAG, target=FEEDER, tag=TagKind.CAUTION))
    answer = await rig.desk.submit(rig.document("dispatcher-1", Wish.UNTAG, subject=tag["tag"]["id"]))
    await rig.desk.submit(rig.document("engineer-1", Wish.UNTAG, subject=tag["tag"]["id"]))
    return answer


@case("a tag set between request and approval", AddCause.BLOCKED_BY_COMMAND, "control inhibit tag")
async def tag_in_between(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    tag = await rig.desk.submit(rig.document("engineer-1", Wish.TAG, target=FEEDER, tag=TagKind.CONTROL_INHIBIT))
    answer = await rig.ended(await rig.approve(report))
    await rig.desk.submit(rig.document("engineer-1", Wish.UNTAG, subject=tag["tag"]["id"]))
    return answer


# -- the wire


@case("link lost before select", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "nothing was sent")
async def lost_before(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    rig.proxy.down = True
    try:
        return await rig.ended(await rig.approve(report))
    finally:
        rig.proxy.down = False


@case("link lost at select", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "while selecting, nothing moved")
async def lost_at_select(rig: Rig) -> Answer:
    rig.proxy.expect(select=Trick.CUT_BEFORE)
    return await rig.operate(FEEDER, Action.OPEN)


@case("link lost between select and execute", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "it was selected over was lost")
async def lost_between(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    rig.proxy.drop()
    answer = await rig.ended(await rig.about(report, Wish.EXECUTE))
    await rig.desk._parts.links.of("TN01").cancel("TN01/471/471.operate")
    return answer


@case("link lost right before the order", AddCause.ABORTED_BY_COMMUNICATION_LOSS, "before the order was sent")
async def lost_right_before(rig: Rig) -> Answer:
    report = await rig.selected(FEEDER, Action.OPEN)
    original = rig.desk.checks.check

    def check_and_cut(course: Any) -> Any:
        decision = original(course)
        if course.device_selected:
            link = rig.desk._parts.links.of("TN01")
            link._connection._client.close()  # type: ignore[attr-defined]  # it dies unseen
        return decision

    rig.desk._conduct.execution.world = replace(rig.desk._conduct.execution.world, check=check_and_cut)
    try:
        return await rig.ended(await rig.about(report, Wish.EXECUTE))
    finally:
        rig.desk._conduct.execution.world = replace(rig.desk._conduct.execution.world, check=original)
        await rig.desk._parts.links.of("TN01").cancel("TN01/471/471.operate")


@case(
    "link lost with the order under way, which never arrived",
    AddCause.ABORTED_BY_COMMUNICATION_LOSS,
    "lost after the order was sent",
    outcome="unknown",
)
async def lost_under_way(rig: Rig) -> Answer:
    rig.proxy.expect(operate=Trick.CUT_BEFORE)
    answer = await rig.operate(FEEDER, Action.OPEN)
    await rig.desk._parts.links.of("TN01").cancel("TN01/471/471.operate")
    return answer


@case(
    "link lost after the order, before the confirmation",
    AddCause.ABORTED_BY_COMMUNICATION_LOSS,
    "lost after the order was sent",
    outcome="unknown",
    orders=1,
)
async def lost_after(rig: Rig) -> Answer:
    rig.proxy.expect(operate=Trick.CUT_AFTER)
    return await rig.operate(FEEDER, Action.OPEN)


@case("negative confirmation", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, "refused the operate", orders=1)
async def negative(rig: Rig) -> Answer:
    plant = rig.simulated.plant
    plant.set_signal("TN01/471/local_remote", 0.0, now_us())
    try:
        return await rig.operate(FEEDER, Action.OPEN)
    finally:
        plant.set_signal("TN01/471/local_remote", 1.0, now_us())


@case("confirmation but no movement", AddCause.TIME_LIMIT_OVER, "did not open within", outcome="unknown")
async def no_movement(rig: Rig) -> Answer:
    rig.proxy.expect(operate=Trick.LIE)
    answer = await rig.operate_in_vain(FEEDER, Action.OPEN)
    assert rig.desk.alarms.events[-1].kind is EventKind.FAIL_TO_OPERATE
    await rig.desk._parts.links.of("TN01").cancel("TN01/471/471.operate")
    return answer


@case("control taken by another desk", AddCause.BLOCKED_BY_HEALTH, "another desk has taken control")
async def control_taken(rig: Rig) -> Answer:
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    old, links = rig.desk, rig._closing
    rig.start_desk()
    report = await old.approve(countersign(report["document"].encode(), rig.signer("dispatcher-2")))
    course = old.courses[report["id"]]
    while course.outcome is None:
        await course.changed.wait()
    links[2].cancel()
    await links[0].close()
    links[1].close(now_us())
    return course.report()


# -- running them


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path_factory.mktemp("control")) as made:
        yield made


@pytest.fixture(scope="module")
def shown() -> Iterator[Table]:
    """The table of the reasons, printed when all are through."""
    with printed_table("Refusals") as table:
        yield table


@pytest.mark.parametrize("attempt", REFUSALS.cases, ids=lambda each: each.name)
async def test_it_is_not_carried_out_and_says_why(rig: Rig, shown: Table, attempt: Case) -> None:
    rig.refresh()
    rig.proxy.expect()
    await judged(rig, shown, attempt)
    await restored(rig)


async def restored(rig: Rig) -> None:
    """Everything as it was, so that every attempt begins alike."""
    await rig.settle()
    rig.proxy.expect()
    if float(rig.image.read(["TN01/471/471.position"])[0]["value"]) == 1.0:
        report = await rig.operate(FEEDER, Action.CLOSE)
        assert report["outcome"] == "completed", report["refusals"]


# -- what is carried out


async def test_two_persons_open_and_close_a_feeder(rig: Rig) -> None:
    rig.refresh()
    before = rig.orders()
    opened = await rig.operate(FEEDER, Action.OPEN, reason="planned work")
    assert [each["state"] for each in opened["steps"]] == [
        "checked",
        "reserved",
        "selected",
        "approved",
        "executed",
        "confirmed",
        "terminated",
        "verified",
    ]
    assert (opened["outcome"], opened["requester"], opened["approver"]) == ("completed", "dispatcher-1", "dispatcher-2")
    assert not rig.simulated.plant.feeder_energised()["TN01/471"]
    await restored(rig)
    assert rig.simulated.plant.feeder_energised()["TN01/471"]
    assert rig.orders() - before == 2


async def test_a_selected_device_is_executed_by_the_person_who_selected_it(rig: Rig) -> None:
    rig.refresh()
    before = rig.orders()
    selected = await rig.selected(FEEDER, Action.OPEN)
    assert rig.orders() == before
    assert (await rig.ended(await rig.about(selected, Wish.EXECUTE)))["outcome"] == "completed"
    assert rig.orders() == before + 1
    await restored(rig)


async def test_an_emergency_override_needs_one_person_and_raises_an_alarm(rig: Rig) -> None:
    rig.refresh()
    report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN, emergency=True, reason="fire at the feeder")
    assert (report["outcome"], report["approver"]) == ("completed", "")
    assert "emergency override" in rig.journal_text()
    await restored(rig)


async def test_a_repeated_confirmation_changes_nothing(rig: Rig, shown: Table) -> None:
    rig.refresh()
    rig.proxy.expect(operate=Trick.REPEAT)
    before = rig.orders()
    report = await rig.operate(FEEDER, Action.OPEN)
    assert report["outcome"] == "completed"
    assert [each["state"] for each in report["steps"]].count("confirmed") == 1
    assert rig.orders() == before + 1
    shown.add_row("a duplicate confirmation", report["outcome"], "–", "changes nothing: confirmed once", "1")
    await restored(rig)


async def test_a_movement_nobody_ordered_is_an_alarm(rig: Rig, shown: Table) -> None:
    rig.refresh()
    rig.desk.observe(rig.show("TN01/472/472.position", 2.0))
    rig.desk.observe(rig.show("TN01/472/472.position", 1.0))
    event = rig.desk.alarms.events[-1]
    assert (event.kind, event.sentence) == (
        EventKind.MOVED_WITHOUT_COMMAND,
        "TN01/472 moved to open without a command",
    )
    assert event.sentence in rig.journal_text()
    shown.add_row("a movement without command", "alarm", "–", event.sentence, "0")


async def test_without_an_authority_table_nobody_operates(rig: Rig) -> None:
    rig.refresh()
    parts = rig.desk.checks.parts
    rig.desk.checks.parts = replace(parts, credentials=lambda _: (None, AuthorityTable(0, {})))
    try:
        report = await rig.submit("dispatcher-1", FEEDER, Action.OPEN)
    finally:
        rig.desk.checks.parts = parts
    assert report["refusals"][0]["sentence"] == "no authority is trusted here: nobody may operate"


async def test_every_case_has_a_name_of_its_own() -> None:
    assert len({each.name for each in REFUSALS.cases}) == len(REFUSALS.cases)
