"""A TCP proxy that cuts a connection at a chosen word, before or after the server has heard it, or at once."""

import contextlib
import selectors
import socket
import threading
from enum import Enum
from types import TracebackType
from typing import Self


class Cut(Enum):
    """Where the next connection that says the word is cut."""

    BEFORE_THE_SERVER_HEARS = 1
    BEFORE_THE_CLIENT_HEARS = 2


class CuttingProxy:
    """Forwards 127.0.0.1:``port`` to the server's port; ``cut`` arms it for one occurrence of a word."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._word = b""
        self._how = Cut.BEFORE_THE_SERVER_HEARS
        self.cuts = 0
        self.down = False
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="cutting proxy")
        self._thread.start()

    def cut(self, word: bytes, how: Cut) -> None:
        """Cut the connection on which the client says ``word`` next."""
        self._how = how
        self._word = word

    def drop(self) -> None:
        """Cut every connection there is; while ``down`` is set, new ones end at once as well."""
        for each in tuple(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop accepting; connections end when their client goes."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        pumps: list[threading.Thread] = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            pumps.append(threading.Thread(target=self._pump, args=(client,)))
            pumps[-1].start()
        for pump in pumps:
            pump.join()

    def _pump(self, client: socket.socket) -> None:
        if self.down:
            client.close()
            return
        self._open.add(client)
        try:
            with contextlib.suppress(ConnectionError):  # either side may go without a word
                self._forward(client)
        finally:
            self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._server_port)) as server,
            selectors.DefaultSelector() as waiting,
        ):
            waiting.register(client, selectors.EVENT_READ)
            waiting.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select():
                    source = client if key.fileobj is client else server
                    content = source.recv(65536)
                    if not content:
                        return
                    if source is client and self._word and self._word in content:
                        self._word = b""
                        self.cuts += 1
                        if self._how is Cut.BEFORE_THE_CLIENT_HEARS:
                            server.sendall(content)
                            server.recv(65536)
                        return
                    (server if source is client else client).sendall(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
