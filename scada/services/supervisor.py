"""Start, stop, ask and keep alive the private services; leave external ones alone.

    from scada.services import supervisor as services
    endpoints = services.up(config)

Knows the order of things and what may be done when. The servers' own ways are in ``postgres`` and ``mosquitto``.
What goes wrong is a ServicesError with one sentence for a person.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import psutil

from scada.config import Config
from scada.model.errors import ServicesDown, ServicesError
from scada.services import mosquitto, postgres
from scada.services.endpoints import Credential, Endpoints, Role, ServiceStatus, State, combine, external_broker
from scada.services.installation import (
    Installation,
    disk_troubles,
    exclusive,
    load,
    load_or_create,
    load_or_draw_passwords,
    load_passwords,
    save,
    services_folder,
    with_port,
)
from scada.services.processes import choose_port, is_port_free, require_free

Name = Literal["postgres", "mqtt"]


START_ATTEMPTS = 3


class Server(NamedTuple):
    """One private server, as far as the order of things is concerned."""

    name: Name
    port_of: Callable[[Installation], int]
    find: Callable[[Installation], psutil.Process | None]
    clear_away: Callable[[Installation], None]
    start: Callable[[Installation, Mapping[str, str]], None]
    stop: Callable[[psutil.Process], None]


SERVERS = (
    Server(
        name="postgres",
        port_of=lambda installation: installation.postgres_port,
        find=postgres.find_process,
        clear_away=postgres.end_orphans,
        start=postgres.start,
        stop=postgres.stop,
    ),
    Server(
        name="mqtt",
        port_of=lambda installation: installation.mqtt_port,
        find=mosquitto.find_process,
        clear_away=mosquitto.await_end,
        start=mosquitto.start,
        stop=mosquitto.stop,
    ),
)


def up(config: Config) -> Endpoints:
    """Start what does not run and return where everything answers. May be called again at any time.

    Ports: the configured one, else the one of last time, else (taken meanwhile, or the first time) a free one.
    """
    if _private(config):
        with _changing(config):
            for server in _private(config):
                _bring_up(config, server, may_move=True)
    return endpoints(config)


def ensure(config: Config) -> tuple[Name, ...]:
    """Start again whatever private service has died, on the port it had; the names of those started.

    Cheap when all run (a look at two pid files), so it may be called every few seconds.
    """
    if not _private(config):
        return ()
    with disk_troubles(config.var):
        found = load(config.var)
        if found is not None and all(server.find(found) for server in _private(config)):
            return ()
    with _changing(config):
        return tuple(server.name for server in _private(config) if _bring_up(config, server, may_move=False))


def down(config: Config) -> tuple[Name, ...]:
    """Stop the private services that run here, cleanly; the names of those stopped."""
    if not services_folder(config.var).exists():
        return ()
    with _changing(config):
        installation = load(config.var)
        return tuple(
            server.name for server in reversed(SERVERS) if installation is not None and _stop(installation, server)
        )


def restart(config: Config, name: Name) -> None:
    """Stop one private service cleanly and start it again on the same port."""
    server = next((server for server in _private(config) if server.name == name), None)
    if server is None:
        raise ServicesError(f"{name} is an external server named in config.toml; it is not ours to restart")
    with _changing(config):
        installation = load(config.var)
        if installation is not None:
            _stop(installation, server)
        _bring_up(config, server, may_move=False)


def remove(config: Config) -> None:
    """Stop the private services and delete everything they stored. For tests and for a decommissioned installation."""
    down(config)
    with disk_troubles(config.var):
        installation = load(config.var)
        if installation is not None and installation.data != services_folder(config.var):
            shutil.rmtree(installation.data)
        shutil.rmtree(services_folder(config.var), ignore_errors=True)


def endpoints(config: Config) -> Endpoints:
    """Where the services answer. Raises ServicesDown when a private one does not run."""
    with disk_troubles(config.var):
        installation = load(config.var)
        _require([each for each in _private(config) if installation is None or each.find(installation) is None])
    return addresses(config)


def addresses(config: Config) -> Endpoints:
    """Where the services answer whenever they run, for whoever can wait for them.

    Raises ServicesDown when a private one has never run.
    """
    private = _private(config)
    if not private:
        return combine(config, ("", ""), (0, {}))
    with disk_troubles(config.var):
        installation = load(config.var)
        _require([each for each in private if installation is None or not each.port_of(installation)])
        assert installation is not None
        passwords = load_passwords(config.var)
    port = installation.postgres_port
    return combine(
        config,
        (
            postgres.dsn(port, postgres.OWNER, passwords["owner"]),
            postgres.dsn(port, postgres.READER, passwords["reader"]),
        ),
        (installation.mqtt_port, mosquitto.credentials(passwords)),
    )


def status(config: Config) -> list[ServiceStatus]:
    """Database and broker as seen now: private ones by process and login, external ones by login only."""
    with disk_troubles(config.var):
        installation = load(config.var)
        passwords = load_passwords(config.var) if installation is not None and _private(config) else {}
    return [
        _external_postgres_status(config.services.postgres.url)
        if config.services.postgres.url
        else _private_status(
            "postgres",
            installation,
            lambda at: postgres.why_silent(postgres.dsn(at.postgres_port, postgres.OWNER, passwords["owner"])),
        ),
        _external_broker_status(config.services.mqtt.url)
        if config.services.mqtt.url
        else _private_status(
            "mqtt",
            installation,
            lambda at: mosquitto.why_silent(
                "127.0.0.1", at.mqtt_port, Credential(Role.MONITOR, passwords[Role.MONITOR])
            ),
        ),
    ]


def configured_port(config: Config, name: Name) -> int:
    """The port named in config.toml; 0 = choose."""
    return (config.services.postgres if name == "postgres" else config.services.mqtt).port


def _require(missing: Sequence[Server]) -> None:
    if missing:
        raise ServicesDown(f"not running: {' and '.join(each.name for each in missing)}; start with: scada services up")


def _private(config: Config) -> tuple[Server, ...]:
    external = {"postgres": config.services.postgres.url, "mqtt": config.services.mqtt.url}
    return tuple(server for server in SERVERS if not external[server.name])


@contextmanager
def _changing(config: Config) -> Iterator[None]:
    with disk_troubles(config.var), exclusive(config.var):
        yield


def _bring_up(config: Config, server: Server, *, may_move: bool) -> bool:
    """Whether the server had to be started."""
    installation = load_or_create(config.var, [postgres.account(), mosquitto.account()])
    configured = configured_port(config, server.name)
    process = server.find(installation)
    if process is not None:
        if configured in {0, server.port_of(installation)}:
            return False
        server.stop(process)  # config.toml names another port than the one it runs on
    server.clear_away(installation)
    passwords = load_or_draw_passwords(config.var, installation.data if postgres.exists(installation) else None)
    for attempt in range(START_ATTEMPTS):
        port = _port(config, server, installation, may_move=may_move)
        installation = with_port(installation, server.name, port)
        save(config.var, installation)
        try:
            server.start(installation, passwords)
        except ServicesError:
            # Between choosing and listening somebody else may have taken the port; then, and only then, another one.
            if configured or not may_move or is_port_free(port) or attempt == START_ATTEMPTS - 1:
                raise
        else:
            break
    return True


def _port(config: Config, server: Server, installation: Installation, *, may_move: bool) -> int:
    key = f"services.{server.name}.port"
    configured = configured_port(config, server.name)
    last = server.port_of(installation)
    if configured:
        return require_free(configured, key)
    if last and (is_port_free(last) or not may_move):
        return require_free(last, key)
    return choose_port(random.SystemRandom())


def _stop(installation: Installation, server: Server) -> bool:
    process = server.find(installation)
    if process is not None:
        server.stop(process)
    return process is not None


def _private_status(
    name: Name, installation: Installation | None, why_silent: Callable[[Installation], str]
) -> ServiceStatus:
    server = next(server for server in SERVERS if server.name == name)
    process = server.find(installation) if installation is not None else None
    if installation is None or process is None:
        return ServiceStatus(name, State.STOPPED, "", None, "not running; start with: scada services up", private=True)
    address = f"127.0.0.1:{server.port_of(installation)}"
    reason = why_silent(installation)
    if reason:
        return ServiceStatus(
            name, State.SILENT, address, process.pid, f"runs but does not answer: {reason}", private=True
        )
    return ServiceStatus(
        name, State.ANSWERING, address, process.pid, f"private, data in {installation.data}", private=True
    )


def _external_postgres_status(url: str) -> ServiceStatus:
    address = url.rpartition("@")[2]
    reason = postgres.why_silent(url)
    state = State.SILENT if reason else State.ANSWERING
    return ServiceStatus("postgres", state, address, None, reason or "external", private=False)


def _external_broker_status(url: str) -> ServiceStatus:
    broker = external_broker(url)
    reason = mosquitto.why_silent(broker.host, broker.port, broker.credential)
    state = State.SILENT if reason else State.ANSWERING
    return ServiceStatus("mqtt", state, f"{broker.host}:{broker.port}", None, reason or "external", private=False)
