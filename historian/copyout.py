"""Rows of a query as an array: PostgreSQL's binary COPY out, decoded by numpy.

Knows how the bytes are fetched. What they mean is the layout's (``historian.copyformat``). Raises StoreUnavailable.
"""

from collections.abc import Mapping

from historian.connection import DatabaseLink
from historian.copyformat import CopyLayout, Rows, decode
from historian.queries import query


def copied_out(link: DatabaseLink, name: str, about: Mapping[str, object], layout: CopyLayout) -> Rows:
    """The rows of a named query that copies out, in a transaction of its own."""
    with link.transaction() as connection, connection.cursor() as cursor, cursor.copy(query(name), about) as copy:
        return decode(b"".join(copy), layout)
