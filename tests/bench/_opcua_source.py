"""A process of its own: an OPC UA server whose variables change as fast as it is told.

Knows asyncua's server. Does not know who listens. ``python -m tests.bench._opcua_source PORT NODES RATE double|mixed``:
doubles, or double and boolean in turn.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

from asyncua import Server, ua
from asyncua.ua.attribute_ids import AttributeIds

NAMESPACE = "urn:gridscada:bench"
_STEP_S = 0.05


def is_double(number: int, kind: str) -> bool:
    """Whether variable ``number`` is a double; else it is a boolean."""
    return kind == "double" or number % 2 == 0


async def serve(port: int, nodes: int, rate: float, kind: str) -> None:
    """Change all variables in turn, ``rate`` changes a second, until ended."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    places = [ua.NodeId(ua.String(f"P{number}"), ua.Int16(index)) for number in range(nodes)]
    for number, place in enumerate(places):
        value = 0.0 if is_double(number, kind) else False
        await server.nodes.objects.add_variable(place, f"P{number}", value)
    async with server:
        print("ready", flush=True)
        due, count = time.monotonic(), 0
        while True:
            due += _STEP_S
            now = datetime.now(UTC)
            for _ in range(int(rate * _STEP_S)):
                number, turn = count % nodes, count // nodes + 1
                shown = (
                    ua.Variant(float(turn), ua.VariantType.Double)
                    if is_double(number, kind)
                    else ua.Variant(turn % 2 == 1, ua.VariantType.Boolean)
                )
                value = ua.DataValue(shown, SourceTimestamp=now, ServerTimestamp=now)
                await server.iserver.aspace.write_attribute_value(places[number], AttributeIds.Value, value)
                count += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
