"""How the commands talk to the control desk: sign, send, watch.

Knows the door's address in ``var/run`` and its answers. Does not judge anything.
"""

import getpass
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from scada.clock import local, now_us
from scada.config import Config
from scada.control.jws import NotSigned, Signer, read, sign
from scada.control.message import US, Message, NotAMessage, Wish, read_message, uuid7
from scada.control.signers import KeyUnusable, TokenSigner, common_name, file_signer
from scada.hmi.journalwords import wish_words
from scada.model.errors import GridScadaError
from scada.tables import nearest

PREFIX: Final = "/api/v1/control"
SIGNED_AS_SHOWN: Final = (
    "id",
    "target",
    "set_point",
    "unit",
    "reason",
    "order",
    "step",
    "test",
    "emergency",
    "expires",
)
"""Fields of a message that its command's report shows under the same name."""
ANSWER_S: Final = 90.0
"""A disconnector moves for many seconds, and the answer comes when it has."""


class DeskSilent(GridScadaError):
    """No desk answers, or it is not in control."""


class NotAsShown(GridScadaError):
    """What would be signed is not what the desk shows."""


class Client:
    """The desk of the ``scada run`` that is in control on this machine."""

    def __init__(self, var: Path) -> None:
        self._var = var

    def send(self, document: bytes, door: str = "messages") -> dict[str, Any]:
        """The report. Raises DeskSilent; after that the fate of the message is open, and it may be asked for."""
        return self._ask("POST", f"/{door}", content=document)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """What the desk says under ``path``. Raises DeskSilent."""
        return self._ask("GET", path, params=parameters)

    def command(self, name: str) -> dict[str, Any]:
        """The command with this id, or the latest one under way for this target. Raises DeskSilent."""
        found = [each for each in self.get("/commands")["commands"] if name in (each["id"], each["target"])]
        waiting = [each for each in found if each["outcome"] is None]
        if not found:
            raise DeskSilent(f"no command {name!r} is under way; `scada control list` shows them all")
        return dict((waiting or found)[-1])

    def waiting(self, name: str) -> dict[str, Any]:
        """As ``command``, if it has not ended. Raises DeskSilent."""
        report = self.command(name)
        if report["outcome"] is not None:
            last = report["steps"][-1]["sentence"]
            raise DeskSilent(f"{report['target']} {wish_words(report)} has ended ({report['outcome']}: {last})")
        return report

    def follow(self, report: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The report again, whenever there is news, until the command has ended."""
        while report["outcome"] is None:
            report = self.get(f"/commands/{report['id']}", steps=len(report["steps"]), wait_s=20)
            yield report

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        place = self._var / "run" / "run.json"
        try:
            url = json.loads(place.read_text(encoding="utf-8"))["url"]
        except (OSError, ValueError, KeyError):
            raise DeskSilent(f"scada run is not running (no {place})") from None
        try:
            answer = httpx.request(method, url + PREFIX + path, timeout=ANSWER_S, trust_env=False, **options)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DeskSilent(f"the desk does not answer at {url}: {type(error).__name__} {error}") from None
        if answer.status_code not in (200, 409):
            raise DeskSilent(body.get("error", f"the desk answers {answer.status_code}"))
        return dict(body)


def signer(key: str, config: Config) -> Signer:
    """``key``: a PKCS#12 file, a bare name in VAR/control/keys, or ``pkcs11:LIBRARY:TOKEN[:KEY LABEL]``.

    The passphrase or PIN comes from $SCADA_PASSPHRASE, else it is asked for. Raises KeyUnusable.
    """
    if not key.startswith("pkcs11:"):
        _key_file(key, config)
    passphrase = os.environ.get("SCADA_PASSPHRASE") or getpass.getpass(f"Passphrase of {key}: ")
    if key.startswith("pkcs11:"):
        library, token, label = [*key.split(":")[1:], "", ""][:3]
        return TokenSigner(Path(library), token, passphrase, label)
    return file_signer(_key_file(key, config), passphrase)


def _key_file(key: str, config: Config) -> Path:
    path, keys = Path(key), config.var / "control" / "keys"
    if path.exists():
        return path
    if not (keys / f"{key}.p12").exists():
        known = [each.stem for each in keys.glob("*.p12")]
        raise KeyUnusable(f"no key {key!r}: no such file, and none of that name in {keys}{nearest(key, known)}")
    return keys / f"{key}.p12"


def message(by: Signer, do: Wish, *, holds_s: float, **fields: Any) -> Message:
    """A message of the key's owner, from now on for ``holds_s``."""
    now = now_us()
    return Message(
        id=uuid7(now, os.urandom(10)),
        do=do,
        issued=now,
        expires=now + int(holds_s * US),
        originator=common_name(by),
        **fields,
    )


def as_shown(report: Mapping[str, Any]) -> bytes:
    """The document of a command for a second signature, once its bytes say what the report shows. Raises NotAsShown."""
    document = str(report["document"]).encode()
    try:
        content = read_message(read(document).payload)
    except (NotSigned, NotAMessage) as error:
        raise NotAsShown(f"what the desk shows of {report['target']} is no signed message: {error}") from None
    said = {"action": str(content.action), "requester": content.originator}
    said |= {name: getattr(content, name) for name in SIGNED_AS_SHOWN}
    shown = {"set_point": None, "unit": "", **report}
    if differing := [name for name, value in said.items() if shown[name] != value]:
        told = ", ".join(differing)
        raise NotAsShown(f"the signed bytes of {report['target']} say something else than the desk shows ({told})")
    return document


def signed(by: Signer, content: Message) -> bytes:
    """The message as the desk takes it."""
    return sign(content.payload, by)


def clock(time_us: int, zone: str) -> str:
    """Local time of day of a step, to the millisecond."""
    return f"{local(time_us, zone):%H:%M:%S.%f}"[:-3]
