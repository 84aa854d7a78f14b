"""Claims about secure channels and taken-over subscriptions, against asyncua's own server over loopback."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from asyncua import Server, ua
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

from scada.clock import now_us
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.sample import SampleArray
from scada.model.station import Endpoint, Protocol
from scada.pki.application import make_application
from simulators.address_space import Nodes, SharingServer, standard_nodes
from simulators.impairments import Impairment
from simulators.relay import ImpairedLink
from substations.changeblock import block
from substations.nodemap import NodeType
from substations.nodes import BoundNode, StationNodes
from substations.opcua import OpcuaLink
from substations.opcua_security import APPLICATION_URI
from tests.fakes_substations import make_point, own_port

pytestmark = pytest.mark.integration

NAMESPACE = "urn:gridscada:substation"
NODES = tuple(
    BoundNode(make_point(number), NAMESPACE, f"s=P{number}", NodeType.DOUBLE, 1.0, 0.0, 0.0, 0.05, 0.0, 50)
    for number in (1, 2)
)


@cache
def shared_nodes() -> Nodes:
    """Built once: a server of its own takes 1.3 s of CPU for them."""
    return standard_nodes()


class Device:
    """An asyncua server with two variables; secured when it is given certificates."""

    def __init__(self, port: int) -> None:
        self.server = Server(SharingServer(shared_nodes()))
        self.port = port

    async def start(self, certificates: Path | None = None) -> None:
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        if certificates is None:
            self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            await self._secure(certificates)
        index = await self.server.register_namespace(NAMESPACE)
        self.variables = [
            await self.server.nodes.objects.add_variable(ua.NodeId(f"P{number}", index), f"P{number}", 0.0)
            for number in (1, 2)
        ]
        await self.server.start()

    async def _secure(self, folder: Path) -> None:
        await self.server.set_application_uri("urn:test:TN07")
        self.server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        await self.server.load_certificate(str(folder / "TN07.der"))
        await self.server.load_private_key(str(folder / "TN07.pem"))
        store = TrustStore([folder / "trusted"], [])
        await store.load()
        options = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
        self.server.set_certificate_validator(CertificateValidator(options, store))

    async def show(self, number: int, value: float) -> None:
        await self.variables[number - 1].write_value(value)


@asynccontextmanager
async def device(certificates: Path | None = None) -> AsyncIterator[Device]:
    with own_port() as port:
        one = Device(port)
        await one.start(certificates)
        try:
            yield one
        finally:
            await one.server.stop()


def make_link(port: int, *, certificates: Path | None = None, timeout_s: float = 30.0) -> OpcuaLink:
    endpoint = Endpoint(Protocol.OPCUA, "127.0.0.1", port, timeout_s=timeout_s)
    if certificates is not None:
        endpoint = replace(endpoint, security="Basic256Sha256", certificates=str(certificates))
    return OpcuaLink(endpoint, StationNodes("TN07", NODES, ()), now_us)


async def collected(link: OpcuaLink, count: int) -> SampleArray:
    """The next changes until there are ``count``."""
    batches: list[SampleArray] = []
    async with asyncio.timeout(60.0):
        while sum(map(len, batches)) < count:
            batches.append((await link.scan(0.05, Cause.SPONTANEOUS)).batch)
            await asyncio.sleep(0.02)
    return np.concatenate(batches)


async def gathered(link: OpcuaLink, count: int) -> list[tuple[int, float]]:
    """The next changes until there are ``count``, as point number and value."""
    return shown(await collected(link, count))


def shown(batch: SampleArray) -> list[tuple[int, float]]:
    numbers = {node.point.id: index for index, node in enumerate(NODES, start=1)}
    return [(numbers[row[0]], row[2]) for row in batch.tolist()]


def certificates_for(folder: Path) -> tuple[Path, Path]:
    """The folders of the control centre and of the field: each trusts the other's certificate."""
    ours, field = folder / "centre", folder / "field"
    mine = make_application(ours, "control_centre", APPLICATION_URI, now_us())
    theirs = make_application(field, "TN07", "urn:test:TN07", now_us())
    for target, source in ((ours / "trusted", theirs), (field / "trusted", mine)):
        target.mkdir()
        (target / source.name).write_bytes(source.read_bytes())
    return ours, field


async def test_signed_and_encrypted_values_arrive_and_every_other_certificate_is_refused(tmp_path: Path) -> None:
    ours, field = certificates_for(tmp_path)
    async with device(field) as one:
        link = make_link(one.port, certificates=ours)
        await link.open()
        answer = await link.scan(0.05, Cause.GENERAL_INTERROGATION)
        await one.show(1, 7.5)
        seen = await gathered(link, 3)
        await link.close()
        assert sorted(shown(answer.batch)) == [(1, 0.0), (2, 0.0)]
        # In one publication the changes of one variable stand together, whatever happened to the other in between.
        assert sorted(seen) == [(1, 0.0), (1, 7.5), (2, 0.0)]

        with pytest.raises(LinkError, match="cannot connect"):
            await make_link(one.port, timeout_s=1.0).open()

        stranger = tmp_path / "stranger"
        make_application(stranger, "control_centre", APPLICATION_URI, now_us())
        (stranger / "trusted").mkdir()
        (stranger / "trusted" / "TN07.der").write_bytes((ours / "trusted" / "TN07.der").read_bytes())
        with pytest.raises(LinkError, match="cannot connect"):
            await make_link(one.port, certificates=stranger, timeout_s=1.0).open()

        make_application(tmp_path / "impostor", "TN07", "urn:test:TN07", now_us())
        (ours / "trusted" / "TN07.der").write_bytes((tmp_path / "impostor" / "TN07.der").read_bytes())
        with pytest.raises(LinkError, match="cannot connect"):
            await make_link(one.port, certificates=ours, timeout_s=1.0).open()


async def test_a_missing_certificate_and_an_unknown_policy_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"Basic256Sha256 needs .*control_centre\.der"):
        await make_link(4840, certificates=tmp_path).open()
    endpoint = Endpoint(Protocol.OPCUA, "127.0.0.1", 4840, security="Basic128")
    with pytest.raises(LinkError, match="unknown security policy 'Basic128'"):
        await OpcuaLink(endpoint, StationNodes("TN07", NODES, ()), now_us).open()


async def test_changes_during_an_outage_are_taken_over_with_the_subscription(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="substations.opcua_subscriptions")
    async with device() as one:
        relay = ImpairedLink("TN07", "127.0.0.1", 0, ("127.0.0.1", one.port))
        await relay.start()
        link = make_link(relay.address[1])
        try:
            await link.open()
            await link.scan(0.05, Cause.GENERAL_INTERROGATION)
            await gathered(link, 2)
            await relay.impair(Impairment.REFUSE)
            for step in range(10):
                await one.show(1 + step % 2, 100.0 + step)
            with pytest.raises(LinkError):
                async with asyncio.timeout(60.0):
                    while True:
                        await link.scan(0.05, Cause.SPONTANEOUS)
                        await asyncio.sleep(0.02)
            await link.close()
            with pytest.raises(LinkError):
                await link.open()
            await relay.impair(Impairment.NONE)
            await link.open()
            seen = await gathered(link, 10)
            await one.show(1, 999.0)
            later = await gathered(link, 1)
        finally:
            await link.close()
            await relay.stop()
    # By variable: the server queues by monitored item.
    assert [value for number, value in seen if number == 1] == [100.0, 102.0, 104.0, 106.0, 108.0]
    assert [value for number, value in seen if number == 2] == [101.0, 103.0, 105.0, 107.0, 109.0]
    assert later == [(1, 999.0)]
    assert link.counts.events_lost == 0
    assert "TN07 subscriptions taken over" in caplog.text


async def test_a_server_that_forgot_the_subscription_gets_a_new_one() -> None:
    async with device() as one:
        relay = ImpairedLink("TN07", "127.0.0.1", 0, ("127.0.0.1", one.port))
        await relay.start()
        link = make_link(relay.address[1])
        try:
            await link.open()
            await link.scan(0.05, Cause.GENERAL_INTERROGATION)
            await gathered(link, 2)
            await relay.impair(Impairment.REFUSE)
            with pytest.raises(LinkError):
                async with asyncio.timeout(60.0):
                    while True:
                        await link.scan(0.05, Cause.SPONTANEOUS)
                        await asyncio.sleep(0.02)
            await link.close()
            service = one.server.iserver.subscription_service
            await service.delete_subscriptions(list(service.subscriptions))
            await relay.impair(Impairment.NONE)
            await link.open()
            await link.scan(0.05, Cause.GENERAL_INTERROGATION)
            await gathered(link, 2)
            await one.show(2, 5.0)
            later = await gathered(link, 1)
        finally:
            await link.close()
            await relay.stop()
    assert later == [(2, 5.0)]


def test_a_change_of_no_node_of_ours_is_counted_and_left_out() -> None:
    link = make_link(4840)
    link.take(block([0, 2, 4_294_967_295], [1.0, 2.0, 3.0], [0, 0, 0], [0, 0, 0]))
    assert (link.counts.events, link.counts.events_rejected) == (3, 2)
