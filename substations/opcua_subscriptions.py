"""The subscriptions of one link to an OPC UA server: made, left there when the link is lost, and taken over again.

Knows which points are followed as values, which as events, and which the server refuses. Does not know connections,
what changes mean, or when to scan.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.ua.uaerrors import UaError

from scada.model.errors import LinkError
from substations.nodes import BoundNode
from substations.opcua_inbox import Inbox, Taker
from substations.opcua_items import KEEP_ALIVE_S, changes_of, events_of_the_server, publishing
from substations.opcua_session import ResumingClient

logger = logging.getLogger(__name__)

_MOST_ITEMS: Final = 1000
"""Monitored items of one request; servers limit it, commonly to 1,000 or more."""
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError, ValueError)


class Subscriptions:
    """Those of ``nodes``; what they bring goes to ``taker``. A row is the place of a node.

    ``events`` is the subscription of the server's events, None while there is none; ``refused`` the rows the server
    does not follow, with its reasons.
    """

    def __init__(self, station: str, nodes: Sequence[BoundNode], taker: Taker) -> None:
        self._station = station
        self._nodes = nodes
        self._taker = taker
        self._inboxes: list[Inbox] = []
        self._left: list[Inbox] = []
        self._earlier = 0
        self.events: Inbox | None = None
        self.refused: tuple[tuple[int, str], ...] = ()
        self.are_made = False
        """Every point is followed."""

    @property
    def heard(self) -> int:
        """Answers to publish requests since the start, keep-alives included."""
        return self._earlier + sum(inbox.heard for inbox in self._inboxes)

    @property
    def are_left(self) -> bool:
        """Whether some stay at the server for the next connection."""
        return bool(self._left)

    def let_go(self, *, leave: bool) -> None:
        """The connection ends; ``leave`` them at the server, where they are worth it.

        One that brought nothing since it was taken over would not the next time either; half of them are none.
        """
        if leave:
            whole = self.are_made and all(inbox.heard for inbox in self._inboxes)
            self._left = self._inboxes if whole else []
        self._earlier = self.heard
        for inbox in self._inboxes:
            inbox.heard = 0
        self._inboxes = []
        self.are_made = False

    async def resume(self, client: ResumingClient) -> None:
        """Take over those that a lost connection left at the server: all of them, or none. Raises LinkError."""
        left, self._left = self._left, []
        session = client.uaclient.session
        if client.resumed:
            mine = [inbox for inbox in left if await inbox.is_alive(session)]
        else:
            mine = [inbox for inbox in left if await inbox.transfer(session)]
        if len(mine) == len(left):
            for inbox in mine:
                await inbox.adopt(session)
            # Not before all can hear: what comes for one that cannot is acknowledged, and gone.
            session.ensure_publish_loop()
            self._inboxes = mine
            self.are_made = bool(mine)
        elif mine:
            await _delete(session, mine)
        if self.events not in self._inboxes:
            self.events = None
        if self._inboxes:
            how = "with their session" if client.resumed else "by transfer"
            logger.info("%s subscriptions taken over %s", self._station, how)

    def check_alive(self, timeout_s: float) -> None:
        """Raise LinkError when one has been silent for longer than its keep-alives allow."""
        longest = max((inbox.parameters.RequestedPublishingInterval / 1000 for inbox in self._inboxes), default=0.0)
        patience = 2 * max(KEEP_ALIVE_S, longest) + timeout_s
        if any(time.monotonic() - inbox.heard_at > patience for inbox in self._inboxes):
            raise LinkError(f"no keep-alive of a subscription for {patience:g} s")

    async def follow_events(self, client: Client, period_s: float, queue_size: int) -> None:
        """Subscribe the server's events; without any from this server its conditions are followed as values."""
        inbox = await self._new_inbox(client, period_s)
        (result,) = await inbox.create_monitored_items([events_of_the_server(len(self._nodes), queue_size)])
        if isinstance(result, ua.StatusCode):
            logger.warning("%s tells no events: %s; conditions are followed as values", self._station, result.name)
            await inbox.delete()
            return
        self.events = inbox
        self._inboxes.append(inbox)

    async def follow_values(self, client: Client, ids: Sequence[ua.NodeId], told: Collection[int]) -> None:
        """Subscribe every node, ``ids`` in their order, but those that events tell; one subscription a period."""
        refused: list[tuple[int, str]] = []
        for period_s in sorted({node.period_s for node in self._nodes}):
            rows = [row for row, node in enumerate(self._nodes) if node.period_s == period_s and row not in told]
            if not rows:
                continue
            inbox = await self._new_inbox(client, period_s)
            self._inboxes.append(inbox)
            for first in range(0, len(rows), _MOST_ITEMS):
                some = rows[first : first + _MOST_ITEMS]
                requests = [changes_of(self._nodes[row], ids[row], row) for row in some]
                results = await inbox.create_monitored_items(requests)
                refused += [
                    (row, result.name)
                    for row, result in zip(some, results, strict=True)
                    if isinstance(result, ua.StatusCode)
                ]
        self.refused = tuple(refused)
        self.are_made = True

    async def _new_inbox(self, client: Client, period_s: float) -> Inbox:
        inbox = Inbox(self._taker, client.uaclient.session, publishing(period_s))
        await inbox.init()
        return inbox


async def _delete(session: UaSession, inboxes: Sequence[Inbox]) -> None:
    try:
        await session.delete_subscriptions([inbox.subscription_id or 0 for inbox in inboxes])
    except _DRIVER_ERRORS as error:
        raise LinkError(f"cannot end an old subscription: {str(error) or type(error).__name__}") from None
