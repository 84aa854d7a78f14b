"""Entries of the control desk's journal in words: one sentence for each kind.

Knows the fields of every kind. Does not read files, and judges nothing.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from scada.control.proof import set_aside_words

Body = Mapping[str, Any]


def entry_words(kind: str, body: Body) -> str:
    """What an entry says; a kind without words of its own as JSON."""
    if kind in WORDS:
        return WORDS[kind](body)
    named = {key: value for key, value in body.items() if value not in ("", [], None)}
    return json.dumps(named, ensure_ascii=False)


def wish_words(body: Body) -> str:
    """What a command wants, of its entry or its report: ``open``, or ``set 23.1 kV``."""
    value = f" {body['set_point']!r} {body['unit']}" if "set_point" in body else ""
    return f"{body['action']}{value}".rstrip()


def _received(body: Body) -> str:
    return f"{body['do']} {body['target']} {wish_words(body)} by {body['by']} ({body['id']})"


def _foreseen(body: Body) -> str:
    found = body["consequences"]
    if found is None:
        return f"what it would bring about is worked out after the frame ({body['id']})"
    if not found["known"]:
        return f"what it would bring about is not known: {found['reason']} ({body['id']})"
    loads = f" ({', '.join(found['lost_loads'])})" if found["lost_loads"] else ""
    lost = f"loses {found['lost_mw']:.2f} MW, customers without supply: {found['lost_customers']}{loads}"
    return "; ".join([lost, *found["overloads"], *found["voltages"], *found["remarks"], body["id"]])


def _device(body: Body) -> str:
    said = "accepted" if body["refused"] is None else f"refused, cause {body['refused']}"
    detail = f"; {body['detail']}" if body["detail"] else ""
    return f"{body['step']} {said}{detail} ({body['id']})"


def _tag(body: Body) -> str:
    text = f" ({body['text']})" if body["text"] else ""
    return f"{body['kind']} on {body['target']}, owner {body['owner']}, by {body['by']}{text}, number {body['id']}"


def _tenure(body: Body) -> str:
    aside = "".join(f"; set aside: {set_aside_words(each)}" for each in body.get("set_aside", ()))
    return f"token {body['token']}, process {body['pid']} on {body['host']}{aside}"


WORDS: Final[Mapping[str, Callable[[Body], str]]] = {
    "tenure": _tenure,
    "released": lambda body: f"token {body['token']} given up",
    "checkpoint": lambda body: f"signed {body['head'][:16]}…",
    "authority": lambda body: f"table version {body['version']}, {body['digest'][:16]}…",
    "received": _received,
    "refused": lambda body: "; ".join(f"{each['label']}: {each['sentence']}" for each in body["refusals"]),
    "selected": _foreseen,
    "consequences": _foreseen,
    "approved": lambda body: f"by {body['by']} ({body['id']})",
    "device": _device,
    "execute": lambda body: (
        f"{body['command']} {wish_words(body)} by {' and '.join(body['persons'])}, token {body['token']}"
    ),
    "outcome": lambda body: f"{body['target']} {wish_words(body)} {body['outcome']}: {body['sentence']}",
    "alarm": lambda body: f"{body['event']}: {body['sentence']}",
    "acknowledged": lambda body: f"by {body['by']}: {body['reason'] or 'seen'} ({body['id']})",
    "tag": _tag,
    "untag": lambda body: f"by {body['by']}, number {body['id']}",
}
