"""The history of substitutions and blockings.

Knows two statements. Does not know what holds now: that is ``scada run``'s own file, readable without a database.
"""

from collections.abc import Mapping, Sequence

from historian.connection import TRANSACTION_LIMIT_S, DatabaseLink
from historian.instants import instant
from historian.queries import query
from scada.model.override import OverrideAct


def record_overrides(
    dsn: str, acts: Sequence[OverrideAct], ids: Mapping[str, int], *, limit_s: float = TRANSACTION_LIMIT_S
) -> None:
    """Write acts down, each once by its id; ``ids`` are the points' by name. Raises StoreUnavailable."""
    with (
        DatabaseLink(dsn, application="scada overrides", limit_s=limit_s) as link,
        link.transaction() as connection,
        connection.cursor() as cursor,
    ):
        for act in acts:
            row = {
                "id": act.id,
                "time": instant(act.time),
                "point": ids[act.point],
                "action": act.action.value,
                "value": act.value,
                "originator": act.originator,
                "why": act.why,
                "until": None if act.until is None else instant(act.until),
            }
            cursor.execute(query("insert_point_override"), row)
