"""Claims about lost notifications: each is asked for again, passed on in order, or counted as gone."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadMessageNotAvailable, BadServiceUnsupported

from substations.changeblock import ChangeBlock
from substations.opcua_inbox import Inbox
from substations.opcua_subscriptions import Subscriptions
from substations.quality import tells_overflow


class Session:
    """A server that keeps ``kept`` for republishing."""

    def __init__(self, kept: dict[int, list[int]], *, allows_transfer: bool = True) -> None:
        self.kept = kept
        self.allows_transfer = allows_transfer
        self.asked: list[int] = []
        self._subscription_callbacks: dict[int, Any] = {}
        self.hear: list[int] = []
        """Subscriptions that somebody listened to when publishing began."""

    async def republish(self, subscription: int, number: int) -> ua.NotificationMessage:
        self.asked.append(number)
        if number not in self.kept:
            raise BadMessageNotAvailable
        return message(number, *self.kept.pop(number))

    async def transfer_subscriptions(self, parameters: ua.TransferSubscriptionsParameters) -> list[ua.TransferResult]:
        if not self.allows_transfer:
            raise BadServiceUnsupported
        return [ua.TransferResult(AvailableSequenceNumbers=[ua.Counter(number) for number in sorted(self.kept)])]

    def ensure_publish_loop(self) -> None:
        self.hear = self.hear or sorted(self._subscription_callbacks)


class Taken:
    """What a taker was told."""

    def __init__(self) -> None:
        self.handles: list[int] = []
        self.missed = 0
        self.reasons: list[str] = []

    def take(self, changes: ChangeBlock) -> None:
        self.handles += changes.rows.tolist()

    def hear(self, events: Sequence[ua.EventFieldList]) -> None:
        self.handles += [event.ClientHandle for event in events]

    def miss(self, notifications: int) -> None:
        self.missed += notifications

    def lose(self, reason: str) -> None:
        self.reasons.append(reason)


def message(number: int, *handles: int) -> ua.NotificationMessage:
    """A notification of changes of ``handles``; a keep-alive without any."""
    items = [ua.MonitoredItemNotification(ClientHandle=ua.IntegerId(handle)) for handle in handles]
    data: list[Any] = [ua.DataChangeNotification(MonitoredItems=items)] if items else []
    return ua.NotificationMessage(SequenceNumber=ua.Counter(number), NotificationData=data)


def inbox(session: Session) -> tuple[Inbox, Taken]:
    taken = Taken()
    one = Inbox(taken, session, ua.CreateSubscriptionParameters())  # type: ignore[arg-type]  # a fake session
    one.subscription_id = 5
    return one, taken


async def hear(one: Inbox, number: int, *handles: int) -> None:
    await one.publish_callback(ua.PublishResult(ua.IntegerId(5), NotificationMessage=message(number, *handles)))


async def test_a_lost_notification_is_asked_for_again_and_passed_on_before_the_next() -> None:
    session = Session({2: [20, 21]})
    one, taken = inbox(session)
    await hear(one, 1, 10)
    await hear(one, 3, 30)
    assert taken.handles == [10, 20, 21, 30]
    assert (session.asked, taken.missed, one.republished) == ([2], 0, 1)


async def test_a_keep_alive_betrays_a_lost_notification() -> None:
    session = Session({1: [10]})
    one, taken = inbox(session)
    await hear(one, 2)
    assert (taken.handles, taken.missed) == ([10], 0)
    await hear(one, 2)
    await hear(one, 2, 20)
    assert (taken.handles, session.asked) == ([10, 20], [1])


async def test_what_the_server_no_longer_has_is_counted() -> None:
    session = Session({3: [30]})
    one, taken = inbox(session)
    await hear(one, 1, 10)
    await hear(one, 4, 40)
    assert (taken.handles, taken.missed, session.asked) == ([10, 30, 40], 1, [2, 3])


async def test_a_notification_that_comes_twice_is_taken_once() -> None:
    one, taken = inbox(Session({}))
    for number in (1, 1, 2):
        await hear(one, number, number * 10)
    assert taken.handles == [10, 20]


async def test_a_very_long_gap_is_not_asked_for_one_by_one() -> None:
    session = Session({})
    one, taken = inbox(session)
    await hear(one, 50_001, 1)
    assert taken.missed == 50_000
    assert len(session.asked) == 1000


async def test_a_transferred_subscription_brings_what_was_sent_while_nobody_listened() -> None:
    one, taken = inbox(Session({}))
    await hear(one, 1, 10)
    session = Session({2: [20], 3: [30]})
    assert await one.transfer(session)  # type: ignore[arg-type]  # a fake session
    await one.adopt(session)  # type: ignore[arg-type]  # a fake session
    await session._subscription_callbacks[5](ua.PublishResult(ua.IntegerId(5), NotificationMessage=message(4, 40)))
    assert (taken.handles, taken.missed) == ([10, 20, 30, 40], 0)


async def test_nothing_is_asked_for_before_every_subscription_that_was_taken_over_can_hear() -> None:
    """What comes for one that cannot is acknowledged by the library, and gone for good."""
    one, taken = inbox(Session({}))
    other, _ = inbox(Session({}))
    other.subscription_id = 6
    subscriptions = Subscriptions("TN07", (), taken)
    subscriptions._left = [one, other]
    session = Session({})
    client = SimpleNamespace(resumed=False, uaclient=SimpleNamespace(session=session))
    await subscriptions.resume(client)  # type: ignore[arg-type]  # a fake client
    assert session.hear == [5, 6]


async def test_a_server_that_refuses_the_transfer_is_told_from_one_that_allows_it() -> None:
    one, _ = inbox(Session({}))
    assert not await one.transfer(Session({}, allows_transfer=False))  # type: ignore[arg-type]  # a fake session


async def test_a_status_change_ends_the_subscription() -> None:
    one, taken = inbox(Session({}))
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTimeout)))
    notification = ua.NotificationMessage(SequenceNumber=ua.Counter(1), NotificationData=[ended])  # type: ignore[list-item]  # the library's annotation is too narrow
    await one.publish_callback(ua.PublishResult(ua.IntegerId(5), NotificationMessage=notification))
    assert taken.reasons == ["the server ended a subscription: BadTimeout"]


@pytest.mark.parametrize(
    ("status", "wanted"), [(0, False), (0x480, True), (0x80, False), (0x40900480, True), (0x400, False)]
)
def test_the_overflow_bit_counts_only_with_its_info_type(status: int, wanted: bool) -> None:  # noqa: FBT001 -- a parameter of the table
    assert tells_overflow(status) is wanted
