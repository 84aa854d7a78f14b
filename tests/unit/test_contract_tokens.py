"""Access tokens of the contract office: drawn once, kept from others' eyes, and no more than was given."""

import json
from pathlib import Path

import pytest
from starlette.requests import Request

from scada.contract_office.office import OfficeError
from scada.contract_office.serving import access_tokens, actors
from scada.hmi.contracts_api import PREFIX, NotAllowed

TOKENS = {"clerk": "c" * 24, "billing": "b" * 24}


def asked(token: str, path: str, method: str = "GET") -> Request:
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return Request({"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""})


def test_tokens_are_drawn_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    drawn = access_tokens(path)
    assert drawn.keys() == {"clerk", "billing"}
    assert drawn["clerk"] != drawn["billing"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert access_tokens(path) == drawn == json.loads(path.read_text())
    assert access_tokens(tmp_path / "other.json")["clerk"] != drawn["clerk"]


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (json.dumps(TOKENS), 0o640, "others may read"),
        ("no JSON", 0o600, "cannot be had"),
        (json.dumps({"clerk": ""}), 0o600, "at least 24 characters"),
        (json.dumps({"clerk": "c" * 24, "billing": "c" * 24}), 0o600, "must differ"),
        (json.dumps({"guest": "c" * 24}), 0o600, "guest: only clerk and billing"),
    ],
)
def test_a_file_of_tokens_that_protects_nothing_is_refused(tmp_path: Path, text: str, mode: int, why: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(OfficeError, match=why):
        access_tokens(path)


def test_a_clerk_may_ask_for_everything_and_a_stranger_for_nothing() -> None:
    actor_of = actors(TOKENS)
    assert actor_of(asked(TOKENS["clerk"], f"{PREFIX}/HD-1/terminate", "POST")) == "clerk"
    assert actor_of(asked("x" * 24, PREFIX)) == ""
    assert actor_of(asked("", PREFIX)) == ""


@pytest.mark.parametrize("path", [f"{PREFIX}/valid/P-1", f"{PREFIX}/unbound"])
def test_billing_asks_which_contract_holds(path: str) -> None:
    assert actors(TOKENS)(asked(TOKENS["billing"], path)) == "billing"


@pytest.mark.parametrize(
    ("path", "method"),
    [(PREFIX, "GET"), (PREFIX, "POST"), (f"{PREFIX}/HD-1", "GET"), (f"{PREFIX}/valid/terminate", "POST")],
)
def test_billing_may_do_nothing_else(path: str, method: str) -> None:
    with pytest.raises(NotAllowed, match="nothing else"):
        actors(TOKENS)(asked(TOKENS["billing"], path, method))
