"""One subscription whose changes go straight to whoever takes them, none missed without being told.

Knows sequence numbers of notifications (OPC UA Part 4, 5.13.1), republishing and transfer to another session. Does not
know points, values or when to scan. The library's own handler costs a task for every change; this one none.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.common.subscription import Subscription
from asyncua.ua.uaerrors import UaError

from substations.changeblock import ChangeBlock
from substations.opcua_changes import of_values

_MOST_REPUBLISHED: Final = 1000
"""Notifications asked for again at most; after a longer gap the present values say more."""
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError, ValueError)


class Taker(Protocol):
    """Who is told what a subscription brings."""

    def take(self, changes: ChangeBlock) -> None:
        """Changes, in the order of the server's queue."""
        ...

    def hear(self, events: Sequence[ua.EventFieldList]) -> None:
        """Events, in the order of the server's queue."""
        ...

    def lose(self, reason: str) -> None:
        """The server will send no more."""
        ...

    def miss(self, notifications: int) -> None:
        """So many notifications are gone for good: what they held is unknown."""
        ...


class Inbox(Subscription):
    """A subscription that watches its sequence numbers. ``heard_at`` is in seconds of the monotonic clock."""

    def __init__(self, taker: Taker, session: UaSession, parameters: ua.CreateSubscriptionParameters) -> None:
        super().__init__(session, parameters)
        self._taker = taker
        self._session = session
        self._last = 0
        self.heard_at = time.monotonic()
        self.heard = 0
        """Answers to publish requests, keep-alives included."""
        self.republished = 0
        """Notifications that had been lost and came when asked for again."""

    async def publish_callback(self, publish_result: ua.PublishResult) -> None:
        """A notification, or a keep-alive: that carries the number the next notification will have."""
        self.heard_at = time.monotonic()
        self.heard += 1
        message = publish_result.NotificationMessage
        number = int(message.SequenceNumber)
        await self._close_gap(number)
        # Number 0 is none of the server's: with it the library itself tells that the connection is gone.
        if message.NotificationData and number > self._last:
            self._last = number
            self._pass_on(message)

    async def transfer(self, session: UaSession) -> bool:
        """Move the subscription to another session; False when the server does not allow it."""
        parameters = ua.TransferSubscriptionsParameters()
        parameters.SubscriptionIds = [ua.IntegerId(self.subscription_id or 0)]
        parameters.SendInitialValues = False
        try:
            results = await session.transfer_subscriptions(parameters)
        except _DRIVER_ERRORS:
            return False
        return len(results) == 1 and results[0].StatusCode.is_good()

    async def is_alive(self, session: UaSession) -> bool:
        """Whether the server still has the subscription in the present session; enables its publishing by the way."""
        parameters = ua.SetPublishingModeParameters()
        parameters.PublishingEnabled = True
        parameters.SubscriptionIds = [ua.IntegerId(self.subscription_id or 0)]
        try:
            results = await session.set_publishing_mode(parameters)
        except _DRIVER_ERRORS:
            return False
        return len(results) == 1 and results[0].is_good()

    async def adopt(self, session: UaSession) -> None:
        """The subscription lives in the present session: fetch what was sent to nobody, then take what it publishes
        once somebody asks for it.

        Asked for is every notification after the last one heard, until the server has no more (Part 4, 6.7).
        """
        self.server = self._session = session
        for _ in range(_MOST_REPUBLISHED):
            message = await self._republished(self._last + 1)
            if message is None:
                break
            self._last += 1
            self.republished += 1
            self._pass_on(message)
        self.heard_at = time.monotonic()
        # The library offers no public way to route a subscription it did not create; its own ``restore`` does the same.
        session._subscription_callbacks[int(self.subscription_id or 0)] = self.publish_callback

    async def _close_gap(self, number: int) -> None:
        """Ask again for every notification before ``number`` that did not come."""
        missing = range(self._last + 1, number)
        gone = max(0, len(missing) - _MOST_REPUBLISHED)
        for each in missing[gone:]:
            message = await self._republished(each)
            if message is None:
                gone += 1
            else:
                self.republished += 1
                self._pass_on(message)
        if missing:
            self._last = number - 1
        if gone:
            self._taker.miss(gone)

    async def _republished(self, number: int) -> ua.NotificationMessage | None:
        try:
            message = await self._session.republish(int(self.subscription_id or 0), number)
        except _DRIVER_ERRORS:
            return None
        return message if message.NotificationData else None

    def _pass_on(self, message: ua.NotificationMessage) -> None:
        for notification in message.NotificationData or ():
            if isinstance(notification, ChangeBlock):
                self._taker.take(notification)
            elif isinstance(notification, ua.DataChangeNotification):
                items = notification.MonitoredItems
                self._taker.take(of_values([item.ClientHandle for item in items], [item.Value for item in items]))
            elif isinstance(notification, ua.EventNotificationList):
                self._taker.hear(notification.Events)
            elif isinstance(notification, ua.StatusChangeNotification):
                self._taker.lose(f"the server ended a subscription: {notification.Status.name}")
