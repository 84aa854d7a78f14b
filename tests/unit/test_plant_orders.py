"""Claims about what a bay and a command of a simulated station refuse, and what a selection is."""

from functools import cache
from pathlib import Path

import pytest

from scada.model.addcause import AddCause
from scada.model.station import Province
from scada.stationfile import load_province
from simulators.grid_solver import GridSolver
from simulators.orders import Action, OrderSlot
from simulators.plant import Plant

SUBSTATIONS = Path(__file__).resolve().parents[2] / "substations"
SECOND = 1_000_000
NOON = 1_795_410_000_000_000


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


@pytest.fixture
def plant() -> Plant:
    return Plant(province(), GridSolver(province()), seed=1, now=NOON)


@pytest.mark.parametrize(
    ("device", "wanted", "why"),
    [
        ("473", "close", AddCause.POSITION_REACHED),
        ("473", "raise", AddCause.NOT_SUPPORTED),
        ("999", "open", AddCause.NOT_SUPPORTED),
        ("171-7", "open", AddCause.BLOCKED_BY_INTERLOCKING),
        ("171-76", "close", AddCause.BLOCKED_BY_INTERLOCKING),
        ("TUC11-14", "close", AddCause.BLOCKED_BY_INTERLOCKING),
        ("T1", "open", AddCause.NOT_SUPPORTED),
    ],
)
def test_a_bay_refuses_the_absurd(plant: Plant, device: str, wanted: str, why: AddCause) -> None:
    assert plant.operate("TN07", device, wanted, NOON) is why
    assert plant.next_event is None


def test_a_disconnector_moves_once_its_breaker_is_open(plant: Plant) -> None:
    plant.operate("TN07", "171", "open", NOON)
    plant.advance(NOON + SECOND)
    assert plant.operate("TN07", "171-7", "open", NOON + SECOND) is None
    assert plant.operate("TN07", "171-7", "open", NOON + 2 * SECOND) is AddCause.COMMAND_ALREADY_IN_EXECUTION


def test_a_line_is_not_earthed_while_its_far_end_is_closed(plant: Plant) -> None:
    now = NOON
    for device in ("171", "171-7"):
        assert plant.operate("TN07", device, "open", now) is None
        now += 10 * SECOND
        plant.advance(now)
    assert plant.operate("TN07", "171-76", "close", now) is AddCause.BLOCKED_BY_INTERLOCKING
    plant.operate("TN06", "173", "open", now)
    plant.advance(now + SECOND)
    assert plant.operate("TN07", "171-76", "close", now + SECOND) is None


def test_an_earthed_feeder_is_not_closed_onto(plant: Plant) -> None:
    plant.operate("TN07", "473", "open", NOON)
    plant.advance(NOON + SECOND)
    assert plant.operate("TN07", "473-76", "close", NOON + SECOND) is None
    plant.advance(NOON + 10 * SECOND)
    assert plant.operate("TN07", "473", "close", NOON + 10 * SECOND) is AddCause.BLOCKED_BY_INTERLOCKING


def test_a_bay_on_local_refuses_remote_orders(plant: Plant) -> None:
    plant.set_signal("TN07/473/local_remote", 0.0, NOON)
    assert plant.operate("TN07", "473", "open", NOON) is AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
    assert plant.operate("TN07", "471", "open", NOON) is None


def test_the_side_of_a_transformer_on_local_refuses_alone(plant: Plant) -> None:
    plant.set_signal("TN07/T1/lv.local_remote", 0.0, NOON)
    assert plant.operate("TN07", "431", "open", NOON) is AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
    assert plant.operate("TN07", "131", "open", NOON) is None


def test_a_command_without_a_device_switches_its_signal(plant: Plant) -> None:
    command, point = "TN07/473/autoreclose.operate", "TN07/473/autoreclose_on"
    assert plant.order(command, "close", NOON) is AddCause.POSITION_REACHED
    assert plant.order(command, "open", NOON) is None
    assert plant.signal(point) == 0.0
    assert plant.order("TN07/473/unheard_of", "open", NOON) is AddCause.NOT_SUPPORTED


def test_a_reset_releases_the_lockout(plant: Plant) -> None:
    plant.set_signal("TN07/171/f86", 1.0, NOON)
    plant.advance(NOON + SECOND)
    assert plant.signal("TN07/171/f86") == 1.0
    assert plant.order("TN07/171/f86.reset", "reset", NOON + SECOND) is None
    assert plant.signal("TN07/171/f86") == 0.0


class Recorder:
    """Stands for the plant: notes what is carried out and answers as told."""

    def __init__(self, answer: AddCause | None = None) -> None:
        self.orders: list[tuple[str, Action, int]] = []
        self.answer = answer

    def __call__(self, command: str, action: Action, now: int) -> AddCause | None:
        self.orders.append((command, action, now))
        return self.answer


def slot(recorder: Recorder, *, needs_select: bool = True) -> OrderSlot:
    return OrderSlot("TN07/473/473.operate", recorder, needs_select=needs_select, select_timeout_s=30.0)


def test_an_order_is_carried_out_after_its_selection_and_once() -> None:
    recorder = Recorder()
    mine = slot(recorder)
    assert mine.select("open", NOON) is None
    assert mine.selected(NOON) == "open"
    assert mine.operate("open", NOON + SECOND) is None
    assert mine.operate("open", NOON + 2 * SECOND) is AddCause.OBJECT_NOT_SELECTED
    assert recorder.orders == [("TN07/473/473.operate", "open", NOON + SECOND)]


@pytest.mark.parametrize(
    ("at", "action", "why"),
    [
        (NOON + 30 * SECOND, "open", AddCause.OBJECT_NOT_SELECTED),
        (NOON + 65 * SECOND, "open", AddCause.OBJECT_NOT_SELECTED),
        (NOON + SECOND, "close", AddCause.INCONSISTENT_PARAMETERS),
    ],
)
def test_a_selection_that_is_over_or_for_something_else_does_not_count(at: int, action: str, why: AddCause) -> None:
    recorder = Recorder()
    mine = slot(recorder)
    mine.select("open", NOON)
    assert mine.operate(action, at) is why
    assert recorder.orders == []


def test_a_selected_command_is_not_selected_again_until_cancelled() -> None:
    mine = slot(Recorder())
    mine.select("open", NOON)
    assert mine.select("close", NOON) is AddCause.OBJECT_ALREADY_SELECTED
    mine.cancel()
    assert mine.select("close", NOON) is None


def test_a_command_without_selection_is_carried_out_directly_and_tells_the_refusal() -> None:
    recorder = Recorder(AddCause.BLOCKED_BY_HEALTH)
    assert slot(recorder, needs_select=False).operate("open", NOON) is AddCause.BLOCKED_BY_HEALTH
    assert recorder.orders == [("TN07/473/473.operate", "open", NOON)]
