"""Claims about what a second person signs at the terminal: what was read there, and nothing else."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from scada.commands.deskclient import NotAsShown, as_shown
from scada.control.jws import LocalSigner, sign
from scada.control.message import Message, Wish, uuid7
from scada.model.switching import Action
from scada.pki.authority import self_signed
from scada.pki.profiles import DISPATCHER, Subject

NOW = 1_795_000_000_000_000
SHOWN: dict[str, Any] = {
    "id": uuid7(NOW, bytes(10)),
    "target": "TN01/T1/avr.voltage_setpoint",
    "action": "set",
    "set_point": 23.1,
    "unit": "kV",
    "requester": "dispatcher-1",
    "reason": "evening peak",
    "order": "2026-0007",
    "step": 3,
    "test": False,
    "emergency": False,
    "expires": NOW + 60_000_000,
}


@pytest.fixture(scope="module")
def document() -> bytes:
    identity = self_signed(Subject("dispatcher-1"), DISPATCHER, NOW)
    assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
    fields = {name: value for name, value in SHOWN.items() if name not in ("requester", "action")}
    message = Message(do=Wish.OPERATE, issued=NOW, originator="dispatcher-1", action=Action.SET, **fields)
    return sign(message.payload, LocalSigner(identity.key, [identity.certificate]))


def test_what_is_shown_as_it_was_signed_may_be_signed(document: bytes) -> None:
    assert as_shown({**SHOWN, "state": "selected", "document": document.decode()}) == document


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, 24.0 if isinstance(value, float) else not value if value is False else "x")
        for name, value in SHOWN.items()
    ],
)
def test_what_is_shown_otherwise_than_it_was_signed_is_not_signed(document: bytes, name: str, value: object) -> None:
    with pytest.raises(NotAsShown, match=f"than the desk shows \\({name}\\)"):
        as_shown({**SHOWN, name: value, "document": document.decode()})


@pytest.mark.parametrize("name", ["set_point", "unit"])
def test_a_value_that_is_not_shown_is_not_signed(document: bytes, name: str) -> None:
    hidden = {each: value for each, value in SHOWN.items() if each != name}
    with pytest.raises(NotAsShown):
        as_shown({**hidden, "document": document.decode()})


def test_what_is_no_signed_message_is_not_signed() -> None:
    with pytest.raises(NotAsShown, match="no signed message"):
        as_shown({**SHOWN, "document": "{}"})
