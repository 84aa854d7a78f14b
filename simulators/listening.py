"""Listening sockets: opened by ourselves, so that a taken port is one clear sentence.

Knows sockets. Does not know what is spoken on them.
"""

import errno
import socket

from scada.model.errors import GridScadaError


class PortTaken(GridScadaError):
    """A simulator cannot listen where it was told to."""


def listen(host: str, port: int, name: str) -> socket.socket:
    """A bound TCP socket for ``name``; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        # Two sockets may share a bound address with SO_REUSEADDR until one listens: only listen() proves it is ours.
        opened.listen(128)
    except OSError as error:
        opened.close()
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise PortTaken(f"{name} cannot listen on {host}:{port}: {reason}") from error
    opened.settimeout(0.0)
    return opened
