"""Claims about a journal whose end the power, the disk or somebody broke: what a new desk does with it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scada.clock import now_us
from scada.control.aside import Decision, NotSetAside, decided, is_being_written, pieces
from scada.control.credentials import CredentialFiles
from scada.control.gate import FORGOTTEN_AFTER_US, Gate
from scada.control.journal import TENURE, Journal, journal_key, public_key, whole_entries
from scada.control.jws import countersign, sign
from scada.control.proof import JournalVerdict, verify_journal
from scada.control.recovery import MOST_UNACKNOWLEDGED, Carried, JournalBroken, begin, carried_over
from scada.control.tenure import last_token, segments, take
from scada.hashchain import ChainError, HashChain
from scada.model.event import EventKind
from tests.fakes_control import make_people, signer_of
from tests.fakes_journal import NOW, entries_of_a_night

TAG = {"id": "t2", "target": "TN01/472", "kind": "control_inhibit", "owner": "a", "text": "", "since": NOW, "by": "a"}
LAST: dict[str, tuple[str, dict[str, Any]]] = {
    "execute": ("execute", {"id": "c2", "command": "TN01/471/471.operate", "action": "open", "persons": ["a", "b"]}),
    "outcome": ("outcome", {"id": "c1", "target": "TN01/471", "outcome": "completed", "sentence": "TN01/471 is open"}),
    "tag": ("tag", TAG),
    "untag": ("untag", {"id": "t1", "by": "a"}),
}


def written(folder: Path, last: str) -> Path:
    """The segment of a desk that died: a tag and two commands, one of them sent; then the last entry, by kind."""
    journal, _ = begun(folder)
    for kind, body in entries_of_a_night():
        journal.append(kind, body, NOW)
    if last != TENURE:
        journal.append(*LAST[last], NOW)
    journal._chain.close()
    if last == TENURE:
        taken_over(folder)
    return segments(folder)[-1]


def begun(folder: Path, decision: Decision | None = None) -> tuple[Journal, Carried]:
    tenure = take(folder, lambda: 0.0)
    assert tenure is not None
    return begin(folder, tenure, NOW, decision)


def taken_over(folder: Path, decision: Decision | None = None) -> Carried:
    """What the next desk takes over; it dies at once."""
    journal, carried = begun(folder, decision)
    journal._chain.close()
    return carried


def judged(folder: Path) -> JournalVerdict:
    return verify_journal(folder, public_key(folder / "journal.pub"))


def kinds(carried: Carried) -> list[EventKind]:
    return [each.kind for each in carried.alarms.values()]


@pytest.mark.parametrize("last", [*LAST, TENURE])
def test_power_lost_at_any_byte_of_the_last_entry_stops_no_desk_and_nothing_acknowledged_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = written(tmp_path / "once", last)
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    before, _ = carried_over(tmp_path / "once", int(path.stem)) if last == TENURE else (None, [])
    if before is None:
        path.write_bytes(whole[:start])
        before, _ = carried_over(tmp_path / "once", last_token(tmp_path / "once") + 1)
        path.write_bytes(whole)
    for cut in sorted({*range(start, len(whole), 1 if last == "execute" else 17), len(whole) - 1}):
        folder = tmp_path / "again"
        shutil.copytree(tmp_path / "once", folder)
        # What the disk had not written yet may read as zeros.
        content = whole[:cut] + (b"\0" * (len(whole) - 1 - cut) if cut % 2 else b"")
        (folder / "journal" / path.name).write_bytes(content)

        carried = taken_over(folder)

        torn = content[start:]
        assert (carried.tags, set(carried.seen)) == (before.tags, set(before.seen)), cut
        assert set(carried.open) == set(before.open)
        doubted = bool(torn) and last != TENURE
        assert {each.lost for each in carried.open.values()} == {doubted}
        assert kinds(carried) == [EventKind.JOURNAL_INCOMPLETE] * bool(torn)
        assert b"".join(each.read_bytes() for each in folder.glob("journal/*.aside-*")) == torn
        verdict = judged(folder)
        assert (verdict.broken, len(verdict.set_aside)) == ("", bool(torn))
        assert (folder / "journal" / path.name).read_bytes() == whole[:start]
        shutil.rmtree(folder)


def test_numbers_of_messages_are_kept_past_their_time_as_a_clock_may_be_set_back(tmp_path: Path) -> None:
    """The desk goes on with a clock a little behind: what had just expired is fresh again, and must not be new."""
    written(tmp_path, "outcome")
    for later_us, kept in ((61_000_000, {"c1", "c2"}), (60_000_000 + FORGOTTEN_AFTER_US, set())):
        tenure = take(tmp_path, lambda: 0.0)
        assert tenure is not None
        journal, _ = begin(tmp_path, tenure, NOW + later_us)
        journal._chain.close()
        assert set(carried_over(tmp_path, tenure.token + 1)[0].seen) == kept


def test_alarms_nobody_acknowledges_do_not_grow_from_desk_to_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk drops the oldest of more than anybody reads; the one after it must not bring them back."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    journal, _ = begun(tmp_path)
    for number in range(MOST_UNACKNOWLEDGED + 5):
        journal.add("alarm", {"id": f"a{number}", "event": "outcome unknown", "subject": "x", "sentence": "y"}, NOW)
    journal.close(NOW)
    for _ in range(2):
        alarms = list(taken_over(tmp_path).alarms)
        assert (len(alarms), alarms[0], alarms[-1]) == (
            MOST_UNACKNOWLEDGED,
            "a5",
            f"a{MOST_UNACKNOWLEDGED + 4}",
        )


def test_what_was_set_aside_is_told_once_and_until_somebody_has_seen_it(tmp_path: Path) -> None:
    path = written(tmp_path, "tag")
    path.write_bytes(path.read_bytes()[:-3])
    carried = taken_over(tmp_path)
    (alarm,) = carried.alarms.values()
    assert alarm.sentence.startswith(
        "the end of the journal was not whole and was set aside: segment 000001 from line 7, "
    )
    journal, carried = begun(tmp_path)
    assert list(carried.alarms) == [alarm.id]
    journal.append("acknowledged", {"id": alarm.id, "by": "a", "reason": "seen"}, NOW)
    journal.close(NOW)
    assert taken_over(tmp_path).alarms == {}
    (kept,) = tmp_path.glob("journal/*.aside-*")
    kept.write_bytes(kept.read_bytes() + b" ")
    assert judged(tmp_path).broken == f"segment 000002, entry 1: tells of {kept.name}, whose content was changed"
    kept.unlink()
    assert judged(tmp_path).broken == f"segment 000002, entry 1: tells of {kept.name}, which is not there"


def test_a_desk_that_dies_before_it_has_taken_out_what_it_told_of_leaves_that_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "tag")
    torn = path.read_bytes()[:-3]
    path.write_bytes(torn)
    with monkeypatch.context() as dying:
        dying.setattr("scada.control.recovery.take_out", lambda *_: None)
        taken_over(tmp_path)
    assert path.read_bytes() == torn
    carried = taken_over(tmp_path)
    assert (len(list(whole_entries(path))), path.read_bytes().endswith(b"}\n")) == (6, True)
    assert kinds(carried) == [EventKind.JOURNAL_INCOMPLETE]
    assert judged(tmp_path).broken == ""


def test_a_line_that_a_hanging_desk_may_still_finish_is_left_alone(tmp_path: Path) -> None:
    journal, _ = begun(tmp_path)
    path = segments(tmp_path)[-1]
    with path.open("ab") as file:
        file.write(b'{"sequence": 2, "ti')
    content = path.read_bytes()
    carried = taken_over(tmp_path)
    assert (carried.alarms, path.read_bytes()) == ({}, content)
    journal._chain.close()


def damaged(lines: list[bytes], number: int) -> list[bytes]:
    line = lines[number - 1]
    return [*lines[: number - 1], line.replace(b"TN01", b"TN\xff1"), *lines[number:]]


def changed(lines: list[bytes], number: int) -> list[bytes]:
    return [*lines[: number - 1], lines[number - 1].replace(b"TN01/471", b"TN01/472"), *lines[number:]]


@pytest.mark.parametrize(
    ("number", "bend", "why"),
    [
        (7, damaged, "cannot be read"),
        (7, changed, "its content was changed"),
        (3, damaged, "cannot be read"),
        (3, changed, "its content was changed"),
        (3, lambda lines, number: [*lines[: number - 1], *lines[number:]], "numbered 4; an entry was removed"),
    ],
)
def test_anything_else_that_is_broken_stops_every_desk_and_is_told_with_file_line_and_what_to_do(
    tmp_path: Path, number: int, bend: Callable[[list[bytes], int], list[bytes]], why: str
) -> None:
    path = written(tmp_path, "execute")
    path.write_bytes(b"".join(bend(path.read_bytes().splitlines(keepends=True), number)))
    content = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalBroken) as told:
            begun(tmp_path)
        assert f"{path}, line {number}: {why}" in str(told.value)
        assert "scada journal set-aside" in str(told.value)
    assert path.read_bytes() == content


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("people")
    return make_people(folder), folder


def signed(people: Any, folder: Path, key: str = "dispatcher-1", **fields: Any) -> tuple[bytes, Decision]:
    _, left = carried_over(folder, last_token(folder) + 1, forgiving=True)
    made = {"pieces": pieces(left), "by": key, "reason": "disk fault", "at": now_us(), **fields}
    decision = Decision(word="set aside", **made)
    return sign(decision.payload, signer_of(people[0][key])), decision


def test_a_dispatcher_sets_the_broken_end_aside_and_what_protects_is_kept(tmp_path: Path, people: Any) -> None:
    """Line 3 is damaged; after it stand a tag, a tag's removal and orders: only what protects is believed."""
    path = written(tmp_path, "tag")
    journal = path.read_bytes().splitlines(keepends=True)
    content = b"".join(damaged(journal, 3))
    path.write_bytes(content)
    document, decision = signed(people, tmp_path)
    _, left = carried_over(tmp_path, last_token(tmp_path) + 1, forgiving=True)
    assert decided(document, left, gate(people), now_us()) == decision

    carried = taken_over(tmp_path, decision)

    assert set(carried.tags) == {"t1", "t2"}
    assert {each.id: (each.sent, each.lost) for each in carried.open.values()} == {"c2": (False, True)}
    assert set(carried.seen) == {"c2"}
    (alarm,) = carried.alarms.values()
    assert alarm.sentence.endswith("by dispatcher-1: disk fault")
    verdict = judged(tmp_path)
    assert (verdict.broken, len(verdict.set_aside)) == ("", 1)
    (kept,) = tmp_path.glob("journal/*.aside-*")
    assert path.read_bytes() + kept.read_bytes() == content
    assert taken_over(tmp_path).tags == carried.tags


def test_a_tag_taken_off_by_an_entry_that_proves_nothing_is_there_again(tmp_path: Path, people: Any) -> None:
    path = written(tmp_path, "untag")
    path.write_bytes(b"".join(changed(path.read_bytes().splitlines(keepends=True), 3)))
    carried = taken_over(tmp_path, signed(people, tmp_path)[1])
    assert set(carried.tags) == {"t1"}


def test_a_whole_tenure_without_a_readable_beginning_is_set_aside(tmp_path: Path, people: Any) -> None:
    written(tmp_path, TENURE)
    path = segments(tmp_path)[-1]
    path.write_bytes(b"\0" * 100 + b"\n")
    with pytest.raises(JournalBroken, match="line 1: cannot be read"):
        begun(tmp_path)
    first = segments(tmp_path)[0]
    first.write_bytes(first.read_bytes() + b"nonsense\n")
    _, decision = signed(people, tmp_path)
    assert [(each.segment, each.line) for each in decision.pieces] == [(2, 1), (1, 7)]
    carried = taken_over(tmp_path, decision)
    assert (set(carried.tags), path.read_bytes()) == ({"t1"}, b"")
    assert kinds(carried) == [EventKind.JOURNAL_INCOMPLETE] * 2
    assert judged(tmp_path).broken == ""


@pytest.mark.parametrize(
    ("by", "fields", "why"),
    [
        ("viewer-1", {}, "viewer-1 has VIEWER; to set a broken part of the journal aside takes OPERATOR or SECADM"),
        ("dispatcher-far", {}, "in TN02, not in the whole province"),
        ("revoked-1", {}, "revoked"),
        ("dispatcher-1", {"by": "dispatcher-2"}, "the decision says dispatcher-2, the signature is dispatcher-1's"),
        ("dispatcher-1", {"reason": " "}, "needs a reason"),
        ("dispatcher-1", {"at": NOW}, "signed more than ten minutes from our clock"),
        ("dispatcher-1", {"pieces": ()}, "about other bytes"),
    ],
)
def test_who_may_not_or_says_something_else_sets_nothing_aside(
    tmp_path: Path, people: Any, by: str, fields: dict[str, Any], why: str
) -> None:
    path = written(tmp_path, "tag")
    path.write_bytes(b"".join(damaged(path.read_bytes().splitlines(keepends=True), 3)))
    document = signed(people, tmp_path, by, **fields)[0]
    _, left = carried_over(tmp_path, last_token(tmp_path) + 1, forgiving=True)
    with pytest.raises(NotSetAside, match=why):
        decided(document, left, gate(people), now_us())


def test_a_changed_decision_and_one_about_what_was_broken_then_are_refused(tmp_path: Path, people: Any) -> None:
    path = written(tmp_path, "tag")
    path.write_bytes(b"".join(damaged(path.read_bytes().splitlines(keepends=True), 3)))
    document, decision = signed(people, tmp_path)
    _, left = carried_over(tmp_path, last_token(tmp_path) + 1, forgiving=True)
    with pytest.raises(NotSetAside, match="no signed decision"):
        decided(b"{}", left, gate(people), now_us())
    with pytest.raises(NotSetAside, match="exactly one signature"):
        decided(countersign(document, signer_of(people[0]["dispatcher-2"])), left, gate(people), now_us())
    path.write_bytes(path.read_bytes() + b"more\n")
    with pytest.raises(NotSetAside, match="not what the decision is about"):
        begun(tmp_path, decision)


def test_an_end_a_process_still_writes_to_is_not_set_aside(tmp_path: Path, people: Any) -> None:
    journal, _ = begun(tmp_path)
    path = segments(tmp_path)[-1]
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    content = path.read_bytes()
    with pytest.raises(NotSetAside, match="a process still writes to the end of the journal"):
        begun(tmp_path, signed(people, tmp_path)[1])
    assert path.read_bytes() == content
    journal._chain.close()


def test_a_journal_that_cannot_be_begun_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(HashChain, "flush", _no_room)
        with pytest.raises(ChainError, match="No space left"):
            begun(tmp_path)
    assert not is_being_written(segments(tmp_path)[-1])
    assert taken_over(tmp_path).alarms == {}


def _no_room(_: HashChain) -> None:
    raise ChainError("No space left on device")


def gate(people: Any) -> Gate:
    files = CredentialFiles(people[1] / "authority.toml", people[1] / "pki", "Asia/Ho_Chi_Minh")
    return Gate(*files(now_us()), {})


def test_a_key_file_the_power_cut_short_is_told_and_none_is_made_by_halves(tmp_path: Path) -> None:
    key = journal_key(tmp_path)
    assert (tmp_path / "journal.key").stat().st_mode & 0o777 == 0o600
    assert public_key(tmp_path / "journal.pub") == key.public_key()
    (tmp_path / "journal.key").write_bytes(b"-----BEGIN")
    with pytest.raises(ChainError, match=r"journal\.key cannot be read"):
        journal_key(tmp_path)
