"""One process per PKCS#11 token, and a queue in front of it.

The module of a token is C code that does not forgive forks or concurrency (SoftHSM 2.6.1 crashes under it), so it is
loaded in a process of its own, started fresh, with one session, fed one request at a time. A crash of the module is
the loss of that process, not ours; it is started again at the next request.

Knows PKCS#11. Does not know PDF or certificates.
"""

import asyncio
import contextlib
import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from scada.contracts.reasons import Finding, NotAccepted, Reason

ANSWER_LIMIT_S = 60.0
"""A batch of 1,000 takes SoftHSM under a second; a smart card signs about 3 per second, batches are cut to fit."""

BATCH = 100

PIN_REFUSALS = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange", "PinExpired", "PinLocked"})
"""Names of the refusals that asking again with the same PIN makes worse."""

PSS_SALT = 32
"""Bytes; as long as a SHA-256 digest."""


@dataclass(frozen=True, slots=True)
class Token:
    """Which token, and how to open it."""

    module: Path
    label: str
    key: str
    pin: str

    def __repr__(self) -> str:
        return f"Token({self.label})"


class TokenProcess:
    """Signs SHA-256 digests with the token's key, in order of asking. Use as ``async with``."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self._queue = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._pin_refused = ""

    async def sign(self, digest: bytes) -> bytes:
        """The signature over one digest: DER for ECDSA. Raises NotAccepted(TOKEN_GONE)."""
        return (await self.sign_batch([digest]))[0]

    async def sign_batch(self, digests: Sequence[bytes]) -> list[bytes]:
        """Signatures in the order of ``digests``, all or none. Raises NotAccepted(TOKEN_GONE)."""
        signatures: list[bytes] = []
        async with self._queue:
            for first in range(0, len(digests), BATCH):
                signatures += await asyncio.to_thread(self._asked, list(digests[first : first + BATCH]))
        return signatures

    def _asked(self, digests: list[bytes]) -> list[bytes]:
        if self._pin_refused:
            raise NotAccepted(Finding(Reason.TOKEN_GONE, self._pin_refused))
        connection = self._connection or self._start()
        try:
            connection.send(digests)
            if not connection.poll(ANSWER_LIMIT_S):
                raise TimeoutError(f"no answer for {ANSWER_LIMIT_S:.0f} s")
            answer = connection.recv()
        except (OSError, EOFError) as error:
            self.stop()
            raise NotAccepted(Finding(Reason.TOKEN_GONE, str(error) or "its process ended")) from error
        if isinstance(answer, str):
            self.stop()
            if PIN_REFUSALS.intersection(answer.split()):
                # A token locks itself after a few wrong PINs, and what waits is tried again every minute.
                self._pin_refused = f"{answer}; not tried again before a restart"
            raise NotAccepted(Finding(Reason.TOKEN_GONE, answer))
        assert isinstance(answer, list)
        return answer

    def _start(self) -> Connection:
        # A fresh interpreter, never a fork: a forked child would share an initialised module. The PIN goes through the
        # pipe, not on the command line, where every user of the machine could read it.
        ours, theirs = multiprocessing.Pipe()
        handle = theirs.fileno()
        # A group of its own: Ctrl-C is for us, who still need the token for what is under way.
        command = [sys.executable, "-m", __name__, str(handle)]
        self._process = subprocess.Popen(command, pass_fds=[handle], process_group=0)
        theirs.close()
        ours.send(self.token)
        self._connection = ours
        return ours

    def stop(self) -> None:
        """End the process; the next request starts a new one."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._connection = None

    @property
    def pid(self) -> int | None:
        """The process that holds the token now."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)


def serve(connection: Connection) -> None:
    """The process's loop: the token, then lists of digests in; lists of signatures or a sentence out.

    Ends when the pipe does.
    """
    import pkcs11  # noqa: PLC0415 - loaded only in the token's own process
    from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415 - as above
    from pkcs11.util.ec import encode_ecdsa_signature  # noqa: PLC0415 - as above

    with contextlib.suppress(EOFError, OSError):
        token: Token = connection.recv()
        try:
            session = pkcs11.lib(str(token.module)).get_token(token_label=token.label).open(user_pin=token.pin)
            key: Any = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=token.key)
        except (PKCS11Error, RuntimeError) as error:
            connection.recv()
            connection.send(f"token {token.label}: {_sentence(error)}")
            return
        is_ec = key.key_type is pkcs11.KeyType.EC
        pss = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, PSS_SALT)
        while True:
            digests = connection.recv()
            try:
                if is_ec:
                    raw = [key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA) for digest in digests]
                    connection.send([encode_ecdsa_signature(each) for each in raw])
                else:
                    mechanism = pkcs11.Mechanism.RSA_PKCS_PSS
                    connection.send([key.sign(each, mechanism=mechanism, mechanism_param=pss) for each in digests])
            except PKCS11Error as error:
                connection.send(f"token {token.label}: {_sentence(error)}")
                return


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
