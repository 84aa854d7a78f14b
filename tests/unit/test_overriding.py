"""Claims about substitution and blocking: who may, what is kept, what survives a restart, what ends by itself."""

import os
import pwd
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scada.image import ProcessImage, Taken
from scada.model.cause import Cause
from scada.model.override import OverrideAction
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE
from scada.operatorfiles import LARGEST_REQUEST, OperatorFolder, OperatorFolderError
from scada.overrides import OverrideAnswer, OverrideRequest, request_bytes, unfit
from scada.overriding import OverrideKeeper

BREAKER = Point(3, "TN07/171/171.position", PointKind.DOUBLE_POINT, "", "")
POWER = Point(1, "TN07/171/active_power", PointKind.MEASURED_VALUE, "", "", "MW", low=-10.0, high=100.0)
POINTS = {point.name: point for point in (BREAKER, POWER)}
ME = pwd.getpwuid(os.getuid()).pw_name
START = 1_767_268_800_000_000


class Room:
    """A keeper with its image; ``again`` is the same after a restart."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.now = START
        self.image = ProcessImage((BREAKER, POWER))
        self.delivered: list[Taken] = []
        self.folder = OperatorFolder(var)
        self.keeper = OverrideKeeper(self.image, POINTS, self.folder, self.delivered.append, clock=lambda: self.now)
        self.keeper.restore()

    def field(self, value: float, point: Point = POWER) -> None:
        self.image.take(np.array([(point.id, self.now, value, 0, Cause.SPONTANEOUS)], dtype=SAMPLE))

    def ask(
        self,
        action: OverrideAction,
        value: float | None = None,
        point: str = POWER.name,
        until: int | None = None,
        why: str = "transducer under test",
    ) -> OverrideAnswer:
        name = f"r{len(list((self.var / 'operator' / 'answers').glob('*')))}"
        self.folder.ask(name, request_bytes(OverrideRequest(name, point, action, why, value, until)))
        self.keeper.turn()
        content = self.folder.take_answer(name)
        assert content is not None
        return msgspec.json.decode(content, type=OverrideAnswer)

    def shown(self, point: Point = POWER) -> tuple[float, int]:
        row = self.image.read([point.name])[0]
        return float(row["value"]), int(row["quality"])

    def again(self) -> "Room":
        return Room(self.var)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path)
    made.field(20.0)
    made.field(2.0, BREAKER)
    return made


def test_the_originator_is_the_owner_of_the_file_not_what_somebody_writes_into_it(room: Room) -> None:
    answer = room.ask(OverrideAction.SUBSTITUTE, 12.5)
    assert (answer.done, answer.sentence) == (True, f"{POWER.name} substituted by {ME}")
    (held,) = room.keeper.state()
    assert (held["originator"], held["why"], held["value"], held["field_value"]) == (
        ME,
        "transducer under test",
        12.5,
        20.0,
    )
    assert room.shown() == (12.5, Quality.SUBSTITUTED)
    assert room.delivered[0].delta["value"].tolist() == [12.5]


def test_a_substitution_survives_a_restart_before_the_first_scan(room: Room) -> None:
    room.ask(OverrideAction.SUBSTITUTE, 12.5)
    again = room.again()
    assert again.shown() == (12.5, Quality.SUBSTITUTED)
    again.field(33.0)
    assert again.shown() == (12.5, Quality.SUBSTITUTED)
    assert again.ask(OverrideAction.RELEASE, why="repaired").done
    assert again.shown() == (33.0, Quality.GOOD)
    assert again.again().keeper.state() == []


def test_a_blocked_point_holds_its_value_over_a_restart(room: Room) -> None:
    room.ask(OverrideAction.BLOCK, point=BREAKER.name)
    room.field(1.0, BREAKER)
    assert room.shown(BREAKER) == (2.0, Quality.BLOCKED)
    assert room.again().shown(BREAKER)[0] == 2.0


def test_what_has_an_end_ends_then_and_not_before(room: Room) -> None:
    room.ask(OverrideAction.SUBSTITUTE, 12.5, until=START + 1000)
    room.now = START + 999
    room.keeper.turn()
    assert room.shown() == (12.5, Quality.SUBSTITUTED)
    room.now = START + 1000
    room.keeper.turn()
    assert room.shown() == (20.0, Quality.GOOD)


def test_an_end_that_passed_while_nothing_ran_is_made_up_for(room: Room) -> None:
    room.ask(OverrideAction.SUBSTITUTE, 12.5, until=START + 1000)
    again = Room(room.var)
    again.now = START + 5000
    again.keeper.turn()
    assert again.keeper.state() == []


@pytest.mark.parametrize(
    ("action", "value", "point", "why", "until", "sentence"),
    [
        (OverrideAction.SUBSTITUTE, 12.5, "TN07/171/x", "w", None, "no point 'TN07/171/x' here"),
        (OverrideAction.SUBSTITUTE, 12.5, POWER.name, "  ", None, "say why: a point that does not show the field"),
        (OverrideAction.SUBSTITUTE, 12.5, POWER.name, "w", START, "the end of the substitution is in the past"),
        (
            OverrideAction.SUBSTITUTE,
            12.5,
            POWER.name,
            "w",
            10**18,
            "the end of the substitution is after the year 2100",
        ),
        (
            OverrideAction.SUBSTITUTE,
            12.5,
            POWER.name,
            "w\x00",
            None,
            "the reason holds a NUL, which nobody can write down",
        ),
        (OverrideAction.SUBSTITUTE, 500.0, POWER.name, "w", None, "500 MW is above the plausible 100"),
        (OverrideAction.SUBSTITUTE, 7.0, BREAKER.name, "w", None, "7 is no value of a double_point"),
        (OverrideAction.SUBSTITUTE, None, POWER.name, "w", None, "a substitution needs a finite value"),
        (OverrideAction.RELEASE, None, POWER.name, "w", None, f"{POWER.name} is neither substituted nor blocked"),
        (OverrideAction.EXPIRE, None, POWER.name, "w", None, "nobody may ask for an expiry"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_with_its_reason(
    room: Room, action: OverrideAction, value: float | None, point: str, why: str, until: int | None, sentence: str
) -> None:
    answer = room.ask(action, value, point, until, why)
    assert not answer.done
    assert answer.sentence.startswith(sentence)
    assert room.keeper.state() == []


def test_a_request_that_is_no_request_is_answered_and_taken_away(room: Room) -> None:
    room.folder.ask("x", b'{"point": 7}')
    room.keeper.turn()
    content = room.folder.take_answer("x")
    assert content is not None
    assert msgspec.json.decode(content, type=OverrideAnswer).sentence.startswith("not understood")
    assert list(room.folder.requests()) == []


def test_a_request_without_end_is_cut_and_refused(room: Room) -> None:
    room.folder.ask("x", b'{"why": "' + b"a" * (LARGEST_REQUEST + 10) + b'"}')
    (file,) = room.folder.requests()
    assert len(file.content) == LARGEST_REQUEST


def test_a_link_to_another_file_is_removed_unread_and_stops_nobody_else(room: Room) -> None:
    (room.var / "elsewhere").write_bytes(b"{}")
    (room.var / "operator" / "requests" / "x.json").symlink_to(room.var / "elsewhere")
    room.folder.ask("y", b"[]")
    assert [(file.name, file.owner) for file in room.folder.requests()] == [("y", ME)]
    assert (room.var / "elsewhere").exists()


def test_without_a_disk_nothing_is_substituted(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    (room.var / "operator" / "overrides.json").mkdir()
    room.folder.ask("x", request_bytes(OverrideRequest("x", POWER.name, OverrideAction.SUBSTITUTE, "w", 1.0)))
    room.keeper.turn()
    assert room.shown() == (20.0, Quality.GOOD)
    assert "Substitution is not possible" in caplog.text


def test_a_book_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "overrides.json").write_bytes(b"{")
    with pytest.raises(OperatorFolderError, match="cannot be understood"):
        Room(tmp_path)


def test_infinity_is_no_value() -> None:
    assert unfit(POWER, float("inf")) == "a substitution needs a finite value"
    assert unfit(POWER, float("nan")) == "a substitution needs a finite value"
