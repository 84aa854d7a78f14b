"""Writing an intake: every step once, however often the store goes away, and one refused row costs one row."""

import threading

import pytest

from meters.account import Account
from meters.inbox import Inbox, Lanes, row_estimate
from meters.ingest import take
from meters.message import Message
from meters.registry import build_registry
from meters.rejection import Reason
from meters.settlement import MAX_REFUSED, Settlement
from meters.validate import Limits
from scada.model.errors import StoreUnavailable
from tests.fakes_meters import NOW, FakeStore, batch_message, event_message, meters, profile_message

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
    inbox.take(threading.Event())
    assert (len(inbox), inbox.oldest_received_at) == (2, 5)
    inbox.settle()
    assert (len(inbox), inbox.oldest_received_at) == (1, 6)
    inbox.take(threading.Event())
    inbox.settle()
    assert (len(inbox), inbox.oldest_received_at) == (0, None)


def test_all_messages_of_a_topic_go_to_one_writer_in_their_order_and_every_writer_gets_some() -> None:
    inboxes = [Inbox(batch_rows=10_000, batch_age_s=0.0) for _ in range(3)]
    sent = deliveries(*[profile_message(n % 100 + 1, NOW + n) for n in range(1000)])
    Lanes(inboxes, limit=1 << 30).put(sent)
    taken = [inbox.take(threading.Event()) for inbox in inboxes]
    assert sorted(message.packet_id for lane in taken for message in lane) == list(range(1, 1001))
    topics = [{message.topic for message in lane} for lane in taken]
    assert all(topics) and not (topics[0] & topics[1] or topics[1] & topics[2] or topics[0] & topics[2])
    for lane in taken:
        assert [message.packet_id for message in lane] == sorted(message.packet_id for message in lane)


def test_there_is_room_until_the_payloads_in_hand_reach_the_limit() -> None:
    inbox = Inbox(batch_rows=1, batch_age_s=0.0)
    sent = deliveries(profile_message(1), profile_message(2))
    lanes = Lanes([inbox], limit=len(sent[0].payload) + 1)
    rooms = [lanes.have_room()]
    for message in sent:
        lanes.put([message])
        rooms.append(lanes.have_room())
    inbox.take(threading.Event())
    rooms.append(lanes.have_room())
    inbox.settle()
    rooms.append(lanes.have_room())
    assert rooms == [True, True, False, False, True]


def test_nothing_is_taken_after_the_stop() -> None:
    inbox, stop = Inbox(batch_rows=1, batch_age_s=0.0), threading.Event()
    inbox.put(deliveries(profile_message(1)))
    stop.set()
    assert inbox.take(stop) == []
    assert len(inbox) == 1
