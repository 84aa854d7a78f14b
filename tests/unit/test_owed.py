"""Acknowledgements: of this connection only, in the order of arrival, none forgotten and none twice."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meters.message import Message
from meters.owed import Owed


def message(packet_id: int, connection: int = 1) -> Message:
    return Message("t", b"", 0, connection, packet_id)


def test_what_was_committed_early_waits_for_what_came_before_it() -> None:
    owed = Owed(1)
    came = [message(7), message(8), message(3)]
    owed.note(came)
    owed.settle(came[1:])
    assert owed.due() == []
    owed.settle(came[:1])
    assert (owed.due(), owed.due()) == ([7, 8, 3], [])


def test_messages_of_another_connection_are_counted_and_never_acknowledged() -> None:
    owed = Owed(2)
    owed.note([message(7, 2)])
    assert owed.settle([message(7, 1), message(0, 1), message(8, 1)]) == 2
    assert owed.due() == []


def test_nobody_acknowledges_a_message_without_a_packet_identifier() -> None:
    owed = Owed(1)
    owed.note([message(0), message(5)])
    assert owed.settle([message(0), message(5)]) == 0
    assert owed.due() == [5]


@given(st.lists(st.integers(1, 65_535), unique=True, max_size=30), st.randoms(use_true_random=False))
def test_in_whatever_order_all_is_committed_all_is_acknowledged_in_the_order_of_arrival(
    ids: list[int], random: Random
) -> None:
    owed = Owed(1)
    owed.note([message(each) for each in ids])
    acknowledged: list[int] = []
    for each in random.sample(ids, len(ids)):
        owed.settle([message(each)])
        acknowledged += owed.due()
    assert acknowledged == ids
