"""Writing an intake: every step once, however often the store goes away, and one refused row costs one row."""

import threading
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.account import Account
from meters.inbox import Inbox, row_estimate
from meters.ingest import take
from meters.message import Message
from meters.registry import build_registry
from meters.rejection import Reason
from meters.settlement import MAX_REFUSED, Settlement
from meters.validate import Limits
from scada.model.errors import StoreUnavailable
from tests.fakes_meters import NOW, FakeStore, batch_message, event_message, meters, profile_message, register_message

REGISTRY = build_registry(meters(1000))


def settlement(store: FakeStore, *messages: Message, late: int = 0) -> Settlement:
    return Settlement(messages, take(messages, REGISTRY, Limits(NOW), 2**20), late, store)


def settle(step: Settlement, *, tries: int = 20) -> tuple[Account, Account]:
    """Advance until the store takes everything, as the head-end does."""
    for _ in range(tries):
        try:
            step.advance()
        except StoreUnavailable:
            continue
        return step.accounts.readings, step.accounts.events
    raise AssertionError("the store never took it")


def test_readings_events_and_quarantine_are_written_and_counted() -> None:
    store = FakeStore()
    bad = Message("nonsense", b"x", NOW)
    readings, events = settle(settlement(store, batch_message([1, 2]), event_message(3), bad, late=1))
    assert readings == Account(stored=2, rejected={Reason.UNKNOWN_TOPIC: 1}, late=1, doubtful=readings.doubtful)
    assert events == Account(stored=1)
    assert sorted(store.rows) == [(1, NOW), (2, NOW)]
    assert store.events == {(3, NOW, 99)}
    assert [entry.topic for entry in store.quarantine] == ["nonsense"]


def test_nothing_to_write_does_not_bother_the_store() -> None:
    store = FakeStore()
    settle(settlement(store))
    assert store.calls == 0


@pytest.mark.parametrize("away", [{1}, {2}, {3}, {1, 2, 3}, {1, 3, 5}])
def test_a_store_that_goes_away_between_steps_gets_each_step_once(away: set[int]) -> None:
    """Done twice, the readings would count as duplicates and the quarantine would hold twins."""
    store = FakeStore(away_on_calls=away)
    readings, events = settle(settlement(store, batch_message([1, 2]), event_message(3), Message("x", b"x", NOW)))
    assert (readings.stored, readings.duplicate, events.stored, events.duplicate) == (2, 0, 1, 0)
    assert len(store.quarantine) == 1
    assert store.calls == 3 + len(away)


@pytest.mark.parametrize("away", [set(), {1}, {2}, {1, 3}, {2, 4}])
def test_what_is_refused_is_kept_once_for_each_account_it_concerns(away: set[int]) -> None:
    store = FakeStore(away_on_calls=away)
    bad_event, bad_register = event_message(1, code=0), register_message(1, {"1-0:1.8.0": -5, "1-0:9.9.9": 1})
    step = settlement(store, bad_event, Message("x", b"x", NOW), bad_register)
    settle(step)
    assert [(each.kind, each.reason, each.rejected) for each in store.quarantine] == [
        ("reading", "unknown_topic", 1),
        ("register", "unknown_register", 1),
        ("register", "negative", 1),
        ("meter_event", "out_of_range", 1),
    ]
    assert store.calls == 3 + len(away)
    counts = (step.accounts.readings.received, step.accounts.registers.received, step.accounts.events.received)
    assert counts == (1, 2, 1)


def test_a_row_the_database_refuses_costs_that_row_only() -> None:
    store = FakeStore(poisoned={3, 700})
    message = batch_message(range(1, 1001))
    readings, _ = settle(settlement(store, message))
    assert (readings.stored, dict(readings.rejected)) == (998, {Reason.STORE_REFUSED: 2})
    assert len(store.rows) == 998
    assert [(entry.reason, entry.rejected, entry.topic) for entry in store.quarantine] == [
        ("store_refused", 1, message.topic),
        ("store_refused", 1, message.topic),
    ]
    assert store.calls < 60


def test_a_store_that_goes_away_while_refused_rows_are_sought_changes_nothing() -> None:
    store = FakeStore(poisoned={3}, away_on_calls={2, 3, 7, 9})
    readings, _ = settle(settlement(store, batch_message(range(1, 101))))
    assert (readings.stored, readings.duplicate, dict(readings.rejected)) == (99, 0, {Reason.STORE_REFUSED: 1})


def test_a_database_that_refuses_everything_is_wrong_itself_and_costs_nothing() -> None:
    store = FakeStore(refuses_all=True)
    step = settlement(store, batch_message(range(1, 501)))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=f"refuses more than {MAX_REFUSED} rows"):
            step.advance()
    store.refuses_all = False
    readings, _ = settle(step)
    assert (readings.stored, dict(readings.rejected)) == (500, {})


# -- the inbox


def deliveries(*messages: Message) -> list[Message]:
    return [message._replace(connection=1, packet_id=number) for number, message in enumerate(messages, start=1)]


def test_enough_rows_make_a_batch_at_once() -> None:
    inbox = Inbox(batch_rows=3, batch_age_s=1000)
    sent = deliveries(*[profile_message(n) for n in range(1, 6)])
    inbox.put(sent[:2])
    inbox.put(sent[2:])
    assert inbox.take(threading.Event()) == sent[:3]


@pytest.mark.parametrize(("waiting", "taken"), [(4, 3), (7, 3), (10, 5), (18, 9), (100, 9)])
def test_the_more_waits_the_larger_the_batch_up_to_a_limit(waiting: int, taken: int) -> None:
    inbox = Inbox(batch_rows=3, batch_age_s=1000)
    inbox.put(deliveries(*[profile_message(n) for n in range(1, waiting + 1)]))
    assert len(inbox.take(threading.Event())) == taken


def test_a_message_that_waited_long_enough_makes_a_batch() -> None:
    inbox = Inbox(batch_rows=1000, batch_age_s=0.0)
    sent = deliveries(profile_message(1))
    inbox.put(sent)
    assert inbox.take(threading.Event()) == sent


def test_the_readings_of_a_batch_count_and_not_its_messages() -> None:
    inbox = Inbox(batch_rows=100, batch_age_s=1000)
    sent = deliveries(batch_message(range(1, 61)), batch_message(range(61, 121)), profile_message(1))
    assert [row_estimate(each) for each in sent] == [60, 60, 1]
    inbox.put(sent)
    assert inbox.take(threading.Event()) == sent[:2]


def test_what_is_taken_stays_in_hand_until_settled() -> None:
    inbox = Inbox(batch_rows=1, batch_age_s=0.0)
    first, second = profile_message(1)._replace(received_at=5), profile_message(2)._replace(received_at=6)
    inbox.put(deliveries(first, second))
    taken = inbox.take(threading.Event())
    assert (len(inbox), inbox.oldest_received_at) == (2, 5)
    inbox.settle(taken)
    assert (len(inbox), inbox.oldest_received_at) == (1, 6)
    inbox.settle(inbox.take(threading.Event()))
    assert (len(inbox), inbox.oldest_received_at) == (0, None)


def test_two_writers_share_what_comes_but_never_a_topic() -> None:
    """The second gets meters 3 and 4 only; what meters 1 and 2 said after comes in its order, once they are free."""
    inbox, going = Inbox(batch_rows=3, batch_age_s=0.0), threading.Event()
    sent = deliveries(*[profile_message(n, NOW + k) for k, n in enumerate((1, 2, 1, 3, 2, 1, 4))])
    inbox.put(sent)
    first, second = inbox.take(going), inbox.take(going)
    assert (first, second) == (sent[:3], [sent[3], sent[6]])
    inbox.settle(first)
    assert inbox.take(going) == [sent[4], sent[5]]
    inbox.settle(second)
    assert len(inbox) == 2


def test_a_writer_waits_for_a_topic_in_other_hands_and_gets_it_when_it_is_settled() -> None:
    inbox, going = Inbox(batch_rows=1, batch_age_s=0.0), threading.Event()
    sent = deliveries(profile_message(1), profile_message(1, NOW + 1))
    inbox.put(sent)
    first = inbox.take(going)
    found: list[Sequence[Message]] = []
    waiting = threading.Thread(target=lambda: found.append(inbox.take(going)))
    waiting.start()
    inbox.settle(first)
    waiting.join(10)
    assert found == [sent[1:]]


@given(st.lists(st.integers(1, 6), max_size=40), st.randoms(use_true_random=False))
def test_however_writers_take_turns_all_comes_out_once_and_each_topic_in_its_order(
    numbers: list[int], random: Random
) -> None:
    inbox, going = Inbox(batch_rows=3, batch_age_s=0.0), threading.Event()
    sent = deliveries(*[profile_message(n, NOW + k) for k, n in enumerate(numbers)])
    inbox.put(sent)
    in_hand: list[Sequence[Message]] = []
    settled: list[Message] = []
    while len(inbox):
        free = {each.topic for each in sent if each not in settled} - {m.topic for batch in in_hand for m in batch}
        if free and (not in_hand or random.random() < 0.6):
            in_hand.append(inbox.take(going))
        else:
            batch = in_hand.pop(random.randrange(len(in_hand)))
            settled += batch
            inbox.settle(batch)
    assert sorted(settled, key=lambda message: message.packet_id) == sent
    for topic in {message.topic for message in sent}:
        order = [message.packet_id for message in settled if message.topic == topic]
        assert order == sorted(order)


def test_there_is_room_until_the_payloads_in_hand_reach_the_limit() -> None:
    sent = deliveries(profile_message(1), profile_message(2))
    inbox = Inbox(batch_rows=1, batch_age_s=0.0, limit=len(sent[0].payload) + 1)
    rooms = [inbox.has_room()]
    for message in sent:
        inbox.put([message])
        rooms.append(inbox.has_room())
    taken = inbox.take(threading.Event())
    rooms.append(inbox.has_room())
    inbox.settle(taken)
    rooms.append(inbox.has_room())
    assert rooms == [True, True, False, False, True]


def test_nothing_is_taken_after_the_stop() -> None:
    inbox, stop = Inbox(batch_rows=1, batch_age_s=0.0), threading.Event()
    inbox.put(deliveries(profile_message(1)))
    stop.set()
    assert inbox.take(stop) == []
    assert len(inbox) == 1
