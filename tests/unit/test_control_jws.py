"""Claims about signed documents. The golden vector is the example of RFC 7515, A.3, with its key as a certificate."""

import base64
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from scada.control.jws import HALF, LocalSigner, NotSigned, Signature, countersign, is_valid, read, sign
from scada.control.message import Message, NotAMessage, TagKind, Wish, read_message, uuid7
from scada.model.meterlink import SupplyAction
from scada.model.switching import Action
from scada.pki.authority import Identity, self_signed
from scada.pki.profiles import DISPATCHER, Subject

NOW = 1_795_000_000_000_000
RFC_HEADER = "eyJhbGciOiJFUzI1NiJ9"
RFC_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
RFC_X = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
RFC_Y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture(scope="module")
def identity() -> Identity:
    return self_signed(Subject("dispatcher-1"), DISPATCHER, NOW)


@pytest.fixture(scope="module")
def signer(identity: Identity) -> LocalSigner:
    assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
    return LocalSigner(identity.key, [identity.certificate])


class _KeyOnly:
    """What ``is_valid`` asks of a certificate."""

    def public_key(self) -> ec.EllipticCurvePublicKey:
        x, y = (int.from_bytes(decoded(each), "big") for each in (RFC_X, RFC_Y))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def test_the_example_of_the_standard_is_valid_and_every_changed_bit_of_it_is_not() -> None:
    value = decoded(RFC_SIGNATURE)
    payload = decoded(RFC_PAYLOAD)
    certificate = _KeyOnly()
    assert is_valid(payload, Signature(RFC_HEADER, value, (certificate,)))  # type: ignore[arg-type]  # a key is enough
    for place in range(2 * HALF):
        bent = bytes(each ^ (1 if index == place else 0) for index, each in enumerate(value))
        assert not is_valid(payload, Signature(RFC_HEADER, bent, (certificate,)))  # type: ignore[arg-type]  # as above
    assert not is_valid(payload + b" ", Signature(RFC_HEADER, value, (certificate,)))  # type: ignore[arg-type]  # as above


@given(st.binary(max_size=300))
def test_what_is_signed_is_read_back_to_the_byte(signer: LocalSigner, payload: bytes) -> None:
    document = read(sign(payload, signer))
    assert document.payload == payload
    assert is_valid(payload, document.signatures[0])


def test_two_signatures_stand_over_one_payload(signer: LocalSigner) -> None:
    document = read(countersign(sign(b"open", signer), signer))
    assert [is_valid(b"open", each) for each in document.signatures] == [True, True]
    assert [is_valid(b"close", each) for each in document.signatures] == [False, False]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"alg":"ES256"', b'"alg":"none"', "only ES256"),
        (b'"alg":"ES256"', b'"alg":"HS256"', "only ES256"),
        (b'"typ":"JOSE+JSON"', b'"crit":["x"]', "cannot be used"),
    ],
)
def test_another_algorithm_or_an_unknown_header_is_refused(
    signer: LocalSigner, old: bytes, new: bytes, words: str
) -> None:
    document = sign(b"open", signer)
    start = document.index(b'"protected":"') + len(b'"protected":"')
    text = document[start : document.index(b'"', start)].decode()
    bent = base64.urlsafe_b64encode(decoded(text).replace(old, new)).rstrip(b"=")
    with pytest.raises(NotSigned, match=words):
        read(document.replace(text.encode(), bent))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_document(content: bytes) -> None:
    with pytest.raises(NotSigned):
        read(content)


def test_a_message_is_read_back_as_it_was_written() -> None:
    message = Message(
        id=uuid7(NOW, bytes(10)),
        do=Wish.OPERATE,
        issued=NOW,
        expires=NOW + 1,
        originator="d",
        target="T",
        action=Action.OPEN,
    )
    assert read_message(message.payload) == message


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_set_point_is_signed_and_read_back_to_the_last_digit(value: float) -> None:
    fields = {"id": uuid7(NOW, bytes(10)), "do": Wish.OPERATE, "issued": NOW, "expires": NOW + 1, "originator": "d"}
    message = Message(**fields, target="T", action=Action.SET, set_point=value, unit="kV")  # type: ignore[arg-type]  # by name
    assert read_message(message.payload) == message


def test_the_digits_a_person_typed_are_in_the_signed_bytes() -> None:
    fields = {"id": uuid7(NOW, bytes(10)), "do": Wish.OPERATE, "issued": NOW, "expires": NOW + 1, "originator": "d"}
    message = Message(**fields, target="T", action=Action.SET, set_point=23.1, unit="kV")  # type: ignore[arg-type]  # by name
    assert b'"set_point":23.1,"unit":"kV"' in message.payload


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "7"}, "is no UUIDv7"),
        ({"originator": ""}, "no originator"),
        ({"target": ""}, "needs target and action"),
        ({"action": None}, "needs target and action"),
        ({"action": Action.SET}, "set needs the value as set_point"),
        ({"unit": "kV"}, "unit belongs to set_point"),
        ({"set_point": 1.5}, "open takes no set_point"),
        ({"do": Wish.TAG, "tag": TagKind.CAUTION, "set_point": 1.5}, "tag takes no set_point"),
        ({"do": Wish.TAG}, "tag needs target and tag"),
        ({"do": Wish.CANCEL}, "needs the id"),
        ({"issued": 10**400, "expires": 10**400 + 1}, "Expected `int` <="),
        ({"expires": -1}, "Expected `int` >= 0"),
        ({"step": 2**64}, "Expected `int` <="),
        ({"do": Wish.SUPPLY, "supply": SupplyAction.DISCONNECT, "target": "9" * 19}, "needs the serial of a meter"),
    ],
)
def test_a_message_that_lacks_something_says_what(fields: dict[str, object], words: str) -> None:
    given_fields = {
        "id": uuid7(NOW, bytes(10)),
        "do": Wish.OPERATE,
        "issued": NOW,
        "expires": NOW + 1,
        "originator": "d",
        "target": "T",
        "action": Action.OPEN,
    }
    message = Message(**{**given_fields, **fields})  # type: ignore[arg-type]  # fields by name
    with pytest.raises(NotAMessage, match=words):
        read_message(message.payload)


@given(st.integers(0, 2**47 * 1000), st.binary(min_size=10, max_size=10))
def test_numbers_are_version_7_and_begin_with_the_time(now: int, random: bytes) -> None:

    number = uuid.UUID(uuid7(now, random))
    assert (number.version, number.variant, number.int >> 80) == (7, uuid.RFC_4122, now // 1000)
