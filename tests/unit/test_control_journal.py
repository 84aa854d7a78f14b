"""Claims about the journal: whatever is done to it is found, and it is told where."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.control.alarms import DeskAlarms
from scada.control.journal import CHECKPOINT_EVERY, JournalWriter, public_key
from scada.control.proof import verify_journal
from scada.control.recovery import begin
from scada.control.tenure import Watch, segments, take
from scada.hashchain import ChainError
from scada.model.event import EventKind

NOW = 1_795_000_000_000_000


def written(folder: Path, entries: int, clock: Callable[[], float] = lambda: 0.0) -> Path:
    """One more tenure with so many entries after its first."""
    tenure = take(folder, clock)
    assert tenure is not None
    journal, _ = begin(folder, tenure, NOW)
    for number in range(entries):
        journal.append("alarm", {"number": number}, NOW + number)
    journal.close(NOW)
    return segments(folder)[-1]


def judged(folder: Path) -> str:
    return verify_journal(folder, public_key(folder / "journal.pub")).broken


def test_an_untouched_journal_of_several_tenures_is_intact(tmp_path: Path) -> None:
    for entries in (3, 0, CHECKPOINT_EVERY + 5):
        written(tmp_path, entries)
    verdict = verify_journal(tmp_path, public_key(tmp_path / "journal.pub"))
    assert (verdict.broken, verdict.segments, verdict.checkpoints, verdict.late) == ("", 3, 4, ())
    assert verdict.entries == 3 + CHECKPOINT_EVERY + 5 + 3 + 4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, place: int, bit: int) -> None:
    folder = tmp_path / "once"
    if not folder.exists():
        written(folder, 6)
        written(folder, 6)
    path = segments(folder)[0]
    good = path.read_bytes()
    bent = bytearray(good)
    # Two spellings of one JSON number or text differ in bytes only; a flipped bit never makes such a pair here.
    bent[place % (len(good) - 1)] ^= 1 << bit
    path.write_bytes(bytes(bent))
    try:
        assert judged(folder) != ""
    finally:
        path.write_bytes(good)


def changed(lines: Sequence[str]) -> list[str]:
    return [*lines[:2], lines[2].replace('"number": 1', '"number": 7').replace('"number":1', '"number":7'), *lines[3:]]


@pytest.mark.parametrize(
    ("name", "bend", "words"),
    [
        ("changed", changed, "segment 000001, entry 3: its content was changed"),
        (
            "removed",
            lambda lines: [*lines[:2], *lines[3:]],
            "entry 3: numbered 4; an entry was removed, inserted or moved",
        ),
        ("moved", lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "entry 3: numbered 4"),
        ("inserted", lambda lines: [*lines[:3], lines[2], *lines[3:]], "entry 4: numbered 3"),
        ("beginning removed", lambda lines: lines[1:], "entry 1: numbered 2"),
        ("end cut off", lambda lines: lines[:-2], "its end was cut off"),
    ],
)
def test_what_was_done_to_it_is_told(
    tmp_path: Path, name: str, bend: Callable[[list[str]], list[str]], words: str
) -> None:
    path = written(tmp_path, 5)
    written(tmp_path, 2)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(bend(lines)), encoding="utf-8")
    assert words in judged(tmp_path)


def test_a_segment_that_is_gone_is_missed(tmp_path: Path) -> None:
    for _ in range(3):
        written(tmp_path, 1)
    segments(tmp_path)[1].unlink()
    assert "follows segment 000002, which is not there" in judged(tmp_path)


def test_a_chain_written_anew_by_another_key_is_found(tmp_path: Path) -> None:
    written(tmp_path / "ours", 3)
    written(tmp_path / "theirs", 3)
    segments(tmp_path / "ours")[0].write_bytes(segments(tmp_path / "theirs")[0].read_bytes())
    assert "its signature is not this key's" in judged(tmp_path / "ours")


def test_a_line_torn_by_a_crash_is_no_entry_and_no_fault(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    with path.open("a", encoding="utf-8") as torn:
        torn.write('{"sequence": 5, "ti')
    written(tmp_path, 2)
    assert judged(tmp_path) == ""


def test_control_is_taken_by_one_and_lost_for_ever_by_the_other(tmp_path: Path) -> None:
    first = take(tmp_path, lambda: 0.0)
    assert first is not None
    assert first.why_not() == ""
    second = take(tmp_path, lambda: 0.0)
    assert second is not None
    assert (second.token, second.why_not()) == (2, "")
    assert "another desk has taken control" in first.why_not()
    assert not first.renew()


def test_a_holder_that_cannot_renew_operates_nothing(tmp_path: Path) -> None:
    seconds = [0.0]
    folder = tmp_path / "control"
    tenure = take(folder, lambda: seconds[0])
    assert tenure is not None
    seconds[0] = 1.6
    assert tenure.why_not() == ""
    seconds[0] = 3.3
    shutil.rmtree(folder)
    assert tenure.why_not() == "this desk cannot renew its control: No such file or directory"


def test_a_holder_whose_heart_stands_still_is_taken_for_dead_and_one_that_beats_is_not(tmp_path: Path) -> None:
    seconds = [0.0]
    tenure = take(tmp_path, lambda: seconds[0])
    assert tenure is not None
    watch = Watch(tmp_path, lambda: seconds[0])
    for _ in range(10):
        seconds[0] += 0.5
        tenure.renew()
        assert watch.holder() is not None
    seconds[0] += 2.9
    assert watch.holder() is not None
    seconds[0] += 0.2
    assert watch.holder() is None


def test_a_holder_that_ended_cleanly_leaves_control_at_once(tmp_path: Path) -> None:
    tenure = take(tmp_path, lambda: 0.0)
    assert tenure is not None
    tenure.release()
    assert Watch(tmp_path, lambda: 0.0).holder() is None


def test_a_holder_that_ends_after_another_has_taken_control_leaves_its_heartbeat_alone(tmp_path: Path) -> None:
    first = take(tmp_path, lambda: 0.0)
    assert first is not None
    second = take(tmp_path, lambda: 0.0)
    assert second is not None
    first.release()
    holder = Watch(tmp_path, lambda: 0.0).holder()
    assert holder is not None
    assert holder.token == second.token


def test_alarms_that_cannot_be_journaled_are_all_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole station is found moved in one moment while the disk is full: nothing may hide another."""
    tenure = take(tmp_path, lambda: 0.0)
    assert tenure is not None
    journal, _ = begin(tmp_path, tenure, NOW)
    alarms = DeskAlarms([], JournalWriter(journal, lambda: NOW, NOW), lambda: NOW)

    def full(*_: object) -> None:
        raise ChainError("No space left on device")

    monkeypatch.setattr(journal, "add", full)
    for number in range(300):
        alarms.sound(EventKind.MOVED_WITHOUT_COMMAND, f"TN01/{number}", "moved", followed=True)
    assert [each.subject for each in alarms.unacknowledged.values()] == [f"TN01/{number}" for number in range(300)]
    journal.close(NOW)


def test_a_holder_whose_process_is_gone_is_dead_at_once(tmp_path: Path) -> None:
    tenure = take(tmp_path, lambda: 0.0)
    assert tenure is not None
    place = tmp_path / "active.json"
    beat = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps({**beat, "pid": 2**22 + 1}), encoding="utf-8")
    assert Watch(tmp_path, lambda: 0.0).holder() is None
