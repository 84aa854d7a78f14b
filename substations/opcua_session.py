"""A client that goes on with the session of a lost connection, and takes notifications of numbers as columns.

Knows the library's way to activate a session again on a new secure channel (OPC UA Part 4, 5.6.3 and 6.7), and where it
decodes what a server publishes. Does not know subscriptions or when a connection counts as lost.
"""

from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.common.shortcuts import Shortcuts
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStructParsingError

from substations.publication import read_publication

SESSION_S = 120.0
"""A session nobody uses ends after this at the server, which limits how many of ours it may hold."""


@dataclass(frozen=True, slots=True)
class LeftSession:
    """What it takes to activate a session again."""

    token: ua.NodeId
    nonce: bytes | None


class BulkSession(UaSession):
    """A session whose publish loop hands on ``ChangeBlock`` in place of data change notifications of plain numbers.

    The library makes four objects of every change; of a block numpy makes four columns. Whatever is no such block is
    decoded by the library as ever.
    """

    async def publish(self, acks: list[ua.SubscriptionAcknowledgement]) -> ua.PublishResponse:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acks
        return response_of(await self._send_request(request, timeout=0))


def response_of(data: Buffer) -> ua.PublishResponse:
    """The response in ``data``. Raises UaStructParsingError."""
    found = read_publication(data.copy().read(len(data)))
    if found is None:
        try:
            response: ua.PublishResponse = struct_from_binary(ua.PublishResponse, data)
        except Exception as error:  # as the library does: whatever its decoder meets, its publish loop goes on
            raise UaStructParsingError from error
        return response
    changes: Any = found.changes
    message = ua.NotificationMessage(SequenceNumber=ua.Counter(found.sequence), NotificationData=[changes])
    result = ua.PublishResult(ua.IntegerId(found.subscription), NotificationMessage=message)
    return ua.PublishResponse(Parameters=result)


class ResumingClient(Client):
    """``connect`` activates ``left`` when the server still has it, else makes a new session; ``resumed`` tells."""

    def __init__(self, url: str, timeout_s: float, left: LeftSession | None) -> None:
        super().__init__(url, timeout=timeout_s, watchdog_intervall=max(1.0, timeout_s))
        self.uaclient.session = BulkSession(self.uaclient)
        self.nodes = Shortcuts(self.uaclient.session)
        self.session_timeout = int(SESSION_S * 1000)
        self._left = left

    @property
    def resumed(self) -> bool:
        """Whether the session is the one that was left."""
        return self._left is not None and self.uaclient.session.authentication_token == self._left.token

    def leave(self) -> LeftSession | None:
        """The session, for the next connection; drops the socket, so that nothing is said about it to the server."""
        token = self.uaclient.session.authentication_token
        self.uaclient.request_disconnect()
        self.disconnect_socket()
        return None if token.is_null() else LeftSession(token, self._server_nonce)

    def _try_load_persisted_session(self) -> bool:
        """The library asks here for a session to go on with; its own answer is a file."""
        if self._left is None:
            return False
        self.uaclient.session.restore_authentication_token(self._left.token)
        self._server_nonce = self._left.nonce  # type: ignore[assignment]  # the library annotates only its default
        return True
