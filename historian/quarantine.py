"""Rejected messages and refused rows as rows of the quarantine table. Knows their form and limits, no connection."""

from collections.abc import Mapping, Sequence

from historian.instants import instant
from historian.isolation import RefusedRow
from scada.model.ports import Quarantined

PAYLOAD_LIMIT = 4096
"""Bytes of a message that are kept: enough to see what is wrong with it."""

TEXT_LIMIT = 200


def quarantine_row(message: Quarantined) -> Mapping[str, object]:
    """One message as parameters of its INSERT: texts cut and freed of what PostgreSQL's text cannot hold."""
    return {
        "received_at": instant(message.received_at),
        "topic": storable(message.topic),
        "reason": storable(message.reason),
        "rejected": message.rejected,
        "size": message.size,
        "payload": message.payload[:PAYLOAD_LIMIT],
    }


def storable(text: str) -> str:
    """Text PostgreSQL accepts: without NUL and lone surrogates, cut to the limit."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()[:TEXT_LIMIT]


def quarantined_rows(refused: Sequence[RefusedRow], *, topic: str, now: int) -> list[Quarantined]:
    """Rows the database refused, readable as ``(1, 1795341600000000, …)`` in the payload."""
    rows: list[Quarantined] = []
    for item in refused:
        payload = str(item.row[0].item()).encode()
        rows.append(Quarantined(now, topic, item.reason, 1, len(payload), payload))
    return rows
