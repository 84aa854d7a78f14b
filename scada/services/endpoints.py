"""Where the database and the broker answer, and with which names and passwords.

Knows the shape of an answer. Does not know who runs the servers, nor whether they answer now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from scada.config import Config
from scada.model.errors import ServicesError

MQTT_PORT = 1883


class Role(StrEnum):
    """Who speaks to the broker. Each has its own name, password and access list."""

    HEADEND = "headend"
    FIELD = "field"
    MONITOR = "monitor"


class State(StrEnum):
    """ANSWERING: logs in · SILENT: a process or an address is there and does not answer · STOPPED: not running."""

    ANSWERING = "answering"
    SILENT = "silent"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Credential:
    """A name and its password; the password is never shown by ``repr``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Everything a process needs to reach both services. DSNs hold passwords and are never shown by ``repr``."""

    postgres_dsn: str = field(repr=False)
    postgres_reader_dsn: str = field(repr=False)
    postgres_private: bool
    mqtt_host: str
    mqtt_port: int
    mqtt_credentials: Mapping[Role, Credential]
    mqtt_private: bool


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as seen now. ``pid`` is None for a stopped or external one; ``detail`` is a sentence for a person."""

    name: str
    state: State
    address: str
    pid: int | None
    detail: str
    private: bool


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An external broker, from ``mqtt://user:password@host:port``."""

    host: str
    port: int
    credential: Credential


def external_broker(url: str) -> BrokerAddress:
    """The address in ``url``. Raises ServicesError without repeating the password."""
    parts = urlsplit(url)
    try:
        port = parts.port or MQTT_PORT
    except ValueError:
        port = 0
    if parts.scheme != "mqtt" or not parts.hostname or not port:
        raise ServicesError("services.mqtt.url must look like mqtt://user:password@host:port")
    return BrokerAddress(
        host=parts.hostname,
        port=port,
        credential=Credential(unquote(parts.username or ""), unquote(parts.password or "")),
    )


def combine(
    config: Config, private_dsns: tuple[str, str], private_broker: tuple[int, Mapping[Role, Credential]]
) -> Endpoints:
    """Endpoints with the configured external server wherever one is named; the private values fill the rest.

    ``private_dsns`` is (owner, reader); ``private_broker`` is (port, credentials).
    """
    postgres, mqtt = config.services.postgres, config.services.mqtt
    owner, reader = (postgres.url, postgres.reader_url or postgres.url) if postgres.url else private_dsns
    if mqtt.url:
        broker = external_broker(mqtt.url)
        host, port = broker.host, broker.port
        credentials: Mapping[Role, Credential] = dict.fromkeys(Role, broker.credential)
    else:
        host, (port, credentials) = "127.0.0.1", private_broker
    return Endpoints(
        postgres_dsn=owner,
        postgres_reader_dsn=reader,
        postgres_private=not postgres.url,
        mqtt_host=host,
        mqtt_port=port,
        mqtt_credentials=credentials,
        mqtt_private=not mqtt.url,
    )
