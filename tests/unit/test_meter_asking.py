"""Asking meters from any process: every request ends, and silence is never called success."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from historian.gapreport import GapFigures
from historian.requests import FORGOTTEN_AFTER_US, RequestEnding
from meters.request import RequestKind
from meters.requestqueue import Priority
from scada.asking import NOBODY_SPOKE, NOT_INSTALLED, MeterAsking, RequestedSupply
from scada.commands.meterasking import sentence
from scada.commands.metergaps import sentences
from scada.model.gap import GapCause, GapState
from scada.model.meterlink import SupplyAction, SupplyOutcome

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = 1_748_748_600_000_000


@dataclass
class FakeRequests:
    """Rows of requests; serials below 100 are installed. ``answers`` end a request at once, by serial."""

    answers: Mapping[int, tuple[str, str, Mapping[str, Any] | None]]
    forgets: bool = True
    rows: dict[int, RequestEnding] = field(default_factory=dict)
    entered: list[tuple[str, int, str]] = field(default_factory=list)

    def enter(
        self,
        kind: str,
        serials: Sequence[int],
        *,
        priority: int,
        requested_by: str,
        expires_at: int,
        parameters: Mapping[str, Any] | None = None,
    ) -> Mapping[int, int | None]:
        del expires_at, parameters
        self.entered.append((kind, priority, requested_by))
        ids: dict[int, int | None] = {}
        for serial in serials:
            ids[serial] = serial + 1000 if serial < 100 else None
            if serial < 100:
                ending, why, answer = self.answers.get(serial, ("", "", None))
                self.rows[serial + 1000] = RequestEnding(serial + 1000, serial, kind, ending, why, answer)
        return ids

    def endings(self, ids: Sequence[int]) -> tuple[RequestEnding, ...]:
        return tuple(self.rows[number] for number in ids)

    def end_forgotten(self, now: int) -> int:
        del now
        for number, row in list(self.rows.items()):
            if not row.ending and self.forgets:
                self.rows[number] = RequestEnding(number, row.serial, row.kind, "refused", "no head-end took it", None)
        return 1


def asking(store: FakeRequests, *, late: bool = False) -> MeterAsking:
    times = iter([NOW, NOW + 2 * FORGOTTEN_AFTER_US] if late else [NOW])
    return MeterAsking(store, lambda: next(times))  # type: ignore[arg-type]  # the fake has what is used


def supply(store: FakeRequests) -> RequestedSupply:
    return RequestedSupply(store, lambda: NOW)  # type: ignore[arg-type]  # the fake has what is used


def ask(store: FakeRequests, *serials: int, late: bool = False) -> list[tuple[int, str, str]]:
    found = asking(store, late=late).ask(
        RequestKind.READ, serials, priority=Priority.ON_DEMAND, requested_by="dung", within_s=5.0
    )
    return [(each.serial, each.ending, each.why) for each in found]


def test_each_serial_has_its_ending_in_the_order_asked() -> None:
    store = FakeRequests({1: ("done", "", {}), 2: ("unknown", "no answer in time", None)})
    assert ask(store, 2, 700, 1) == [
        (2, "unknown", "no answer in time"),
        (700, "refused", NOT_INSTALLED),
        (1, "done", ""),
    ]
    assert store.entered == [("read", Priority.ON_DEMAND, "dung")]


def test_what_no_head_end_took_is_refused_in_the_end() -> None:
    assert ask(FakeRequests({}), 1, late=True) == [(1, "refused", "no head-end took it")]


def test_what_nobody_can_end_is_unknown() -> None:
    assert ask(FakeRequests({}, forgets=False), 1, late=True) == [(1, "unknown", NOBODY_SPOKE)]


@pytest.mark.parametrize("action", list(SupplyAction))
def test_supply_is_switched_before_everything_else_and_the_meters_own_word_is_told(action: SupplyAction) -> None:
    store = FakeRequests({1: ("done", "", {"state": "DISCONNECTED"})})
    outcome = supply(store).operate(1, action, requested_by="dung", within_s=5.0)
    assert outcome == SupplyOutcome(1, "done", "", "DISCONNECTED")
    assert store.entered == [(action.value, Priority.SUPPLY, "dung")]


def test_no_state_is_claimed_for_a_meter_that_was_silent() -> None:
    store = FakeRequests({1: ("unknown", "no answer in time", None)})
    outcome = supply(store).operate(1, SupplyAction.RECONNECT, requested_by="d", within_s=5.0)
    assert outcome == SupplyOutcome(1, "unknown", "no answer in time", "")


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (RequestEnding(1, 7, "read", "refused", "busy", None), "7 refused: busy"),
        (
            RequestEnding(1, 7, "read", "done", "", {"registers": {"1-0:1.8.0": 1234}, "state": "CONNECTED"}),
            "7 1-0:1.8.0 = 1,234, CONNECTED",
        ),
        (RequestEnding(1, 7, "clock", "done", "", {"clock_off_s": -12.0}), "7 clock was -12 s off, set"),
        (RequestEnding(1, 7, "events", "done", "", {"events": [[NOW, 99]]}), "7 01.06.2025 10:30:00 code 99"),
        (RequestEnding(1, 7, "events", "done", "", {}), "7 no events"),
    ],
)
def test_an_answer_reads_as_a_sentence(ended: RequestEnding, told: str) -> None:
    assert sentence(ended, ZONE, "en") == told


def test_the_ledger_is_summed_up_in_sentences() -> None:
    figures = [
        GapFigures(GapState.REQUESTED, GapCause.CONCENTRATOR_SILENT, 540, 1620, 540, 0, 0, 1080),
        GapFigures(GapState.RECOVERED, GapCause.METER_SILENT, 12, 12, 11, 0, 0, 12),
    ]
    assert sentences(figures, "en") == [
        "requested, concentrator silent: 1,620 intervals of 540 meters in 540 gaps, asked for 1,080 times",
        "recovered, meter silent: 12 intervals of 11 meters in 12 gaps, asked for 12 times",
        "1,620 intervals are being chased, 12 were recovered.",
    ]
    assert sentences([], "en") == ["No interval is missing, and none was."]
