"""Fixtures every folder of tests shares: real services in a temporary folder, one set for the whole session."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from historian.migrate import migrate
from scada.config import Config
from scada.logs import OURS
from scada.services import postgres, supervisor
from scada.services.endpoints import Endpoints
from scada.services.installation import load, load_passwords

# How long an example takes says how busy the machine is: no property claims it.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command run in this process sends the log to its standard error, which is gone when the test is over."""
    loggers = [logging.getLogger(name) for name in (None, *OURS, "asyncua", "pymodbus")]
    levels = [logger.level for logger in loggers]
    yield
    for handler in [each for each in loggers[0].handlers if type(each) is logging.StreamHandler]:
        loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def services_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A configuration whose private services run while the session lasts."""
    config = Config(var=tmp_path_factory.mktemp("var"))
    supervisor.up(config)
    try:
        yield config
    finally:
        supervisor.remove(config)


@pytest.fixture(scope="session")
def superuser_dsn(services_config: Config) -> str:
    """The DSN of whoever may create databases."""
    installation = load(services_config.var)
    assert installation is not None
    password = load_passwords(services_config.var)["superuser"]
    return postgres.dsn(installation.postgres_port, postgres.SUPERUSER, password, "postgres")


@pytest.fixture(scope="session")
def endpoints(services_config: Config) -> Endpoints:
    """Where the session's database and broker answer."""
    return supervisor.endpoints(services_config)


@pytest.fixture
def database(endpoints: Endpoints, superuser_dsn: str) -> Iterator[str]:
    """The owner's DSN of a fresh, migrated database."""
    name = f"test_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(postgres.OWNER))
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute(create)
    dsn = psycopg.conninfo.make_conninfo(endpoints.postgres_dsn, dbname=name)
    try:
        migrate(dsn)
        yield dsn
    finally:
        with psycopg.connect(superuser_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[Config]:
    """Private services for one test that kills them."""
    config = replace(Config(), var=tmp_path / "var")
    supervisor.up(config)
    try:
        yield config
    finally:
        supervisor.remove(config)
