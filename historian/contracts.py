"""Stores what happens to supply contracts, and answers which contract holds when.

Satisfies ``ContractStore``. Knows the transactions; what may follow what is decided by whoever appends.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from historian.connection import TRANSACTION_LIMIT_S, DatabaseLink, OnLink
from historian.instants import instant, microseconds
from historian.queries import query
from scada.model.contract import Action, ContractEvent, ContractRecord, RequestKind, State


class _TooLate(Exception):
    """Another writer took a sequence number; the transaction is undone."""


class ContractDatabase(OnLink):
    """ContractStore on one connection, opened at the first call and after each loss."""

    def __init__(self, dsn: str, *, application: str, limit_s: float = TRANSACTION_LIMIT_S) -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=limit_s)

    def next_number(self) -> int:
        """A number never given before. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            row = connection.execute(query("next_contract_number")).fetchone()
        assert row is not None
        return int(row[0])

    def append(self, steps: Sequence[tuple[ContractEvent, ContractRecord]]) -> bool:
        """Add events and replace their records, all or nothing; False when another writer was first.

        Raises StoreUnavailable, or StoreRejected when two contracts would hold for one metering point.
        """
        try:
            with self._link.transaction() as connection:
                for event, _ in steps:
                    if connection.execute(query("insert_contract_event"), _event_row(event)).rowcount == 0:
                        raise _TooLate
                # A predecessor ends before its successor begins to hold, or they would overlap for a moment.
                for _, record in sorted(steps, key=lambda step: step[1].valid_to is None):
                    connection.execute(query("upsert_contract"), _record_row(record))
        except _TooLate:
            return False
        return True

    def events(self, request: str) -> Sequence[ContractEvent]:
        """What happened to a request, oldest first. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("contract_events"), {"request": request}).fetchall()
        return tuple(
            ContractEvent(row[0], row[1], microseconds(row[2]), row[3], Action(row[4]), row[5], row[6]) for row in rows
        )

    def records(self, states: Sequence[State] = ()) -> Sequence[ContractRecord]:
        """All requests, or those in one of ``states``, oldest first. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("contracts"), {"states": [state.value for state in states]}).fetchall()
        return tuple(_record(row) for row in rows)

    def counts(self) -> Mapping[State, int]:
        """How many requests are in each state that has any. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("count_contracts")).fetchall()
        return {State(row[0]): row[1] for row in rows}

    def valid_contract(self, metering_point: str, at: int) -> ContractRecord | None:
        """The contract that holds for a metering point at a time. Raises StoreUnavailable."""
        asked = {"metering_point": metering_point, "at": instant(at)}
        with self._link.transaction() as connection:
            row = connection.execute(query("valid_contract"), asked).fetchone()
        return None if row is None else _record(row)

    def points_without_contract(self, at: int) -> Sequence[str]:
        """Metering points with an installed meter for which no contract holds. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("points_without_contract"), {"at": instant(at)}).fetchall()
        return tuple(row[0] for row in rows)

    def metering_point_of(self, serial: int, at: int) -> str | None:
        """Where the meter registry has a meter at a time, None for nowhere. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            row = connection.execute(query("metering_point_of"), {"serial": serial, "at": instant(at)}).fetchone()
        return None if row is None else str(row[0])

    def contracts_without_meter(self, at: int) -> Sequence[ContractRecord]:
        """Contracts whose meter was never registered at their metering point. Raises StoreUnavailable."""
        with self._link.transaction() as connection:
            rows = connection.execute(query("contracts_without_meter"), {"at": instant(at)}).fetchall()
        return tuple(_record(row) for row in rows)


def _event_row(event: ContractEvent) -> dict[str, Any]:
    return {
        "request": event.request,
        "sequence": event.sequence,
        "time": instant(event.time),
        "actor": event.actor,
        "action": event.action.value,
        "document_sha256": event.document_sha256,
        "details": Jsonb(dict(event.details)),
    }


def _record_row(record: ContractRecord) -> dict[str, Any]:
    return {
        "request": record.request,
        "kind": record.kind.value,
        "state": record.state.value,
        "customer": record.customer,
        "identity": record.identity,
        "metering_point": record.metering_point,
        "tariff_class": record.tariff_class,
        "meter_serial": record.meter_serial,
        "start_registers": Jsonb(dict(record.start_registers)),
        "valid_from": _maybe_instant(record.valid_from),
        "valid_to": _maybe_instant(record.valid_to),
        "predecessor": record.predecessor,
        "waiting": record.waiting,
        "applied_at": instant(record.applied_at),
    }


def _record(row: Sequence[Any]) -> ContractRecord:
    return ContractRecord(
        request=row[0],
        kind=RequestKind(row[1]),
        state=State(row[2]),
        customer=row[3],
        identity=row[4],
        metering_point=row[5],
        tariff_class=row[6],
        meter_serial=row[7],
        start_registers=row[8],
        valid_from=_maybe_microseconds(row[9]),
        valid_to=_maybe_microseconds(row[10]),
        predecessor=row[11],
        waiting=row[12],
        applied_at=microseconds(row[13]),
    )


def _maybe_instant(time: int | None) -> datetime | None:
    return None if time is None else instant(time)


def _maybe_microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)
