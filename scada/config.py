"""``config.toml`` as frozen dataclasses.

Knows every setting, its default and its bounds. Does not open anything but the file.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from scada.model.errors import Fault
from scada.tables import bounded, load_table, refuse_faults

SOURCE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class PostgresConfig:
    """The historian's database. An empty ``url`` means the private cluster."""

    url: str = ""
    reader_url: str = ""
    port: int = bounded(low=0, high=65535, default=0)


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker. An empty ``url`` means the private broker; else ``mqtt://user:password@host:port``."""

    url: str = ""
    port: int = bounded(low=0, high=65535, default=0)


@dataclass(frozen=True, slots=True)
class ServicesConfig:
    """External servers, or ports for the private ones (0 = a free one is chosen and kept)."""

    postgres: PostgresConfig = field(default_factory=PostgresConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)


@dataclass(frozen=True, slots=True)
class StationsConfig:
    """Where the station files, maps and bay types lie, and where the stations answer.

    ``host`` and ``base_port`` override the addresses in the station files when ``base_port`` is not 0 (simulators):
    station with common address n then answers on ``base_port + n``.
    """

    folder: Path = Path("substations")
    only: tuple[str, ...] = ()
    host: str = ""
    base_port: int = bounded(low=0, high=65000, default=0)


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """How stations are scanned when their map does not say otherwise."""

    integrity_scan_s: float = bounded(low=1.0, high=86400.0, default=300.0)
    silent_scans: int = bounded(low=1, high=100, default=3)
    reconnect_min_s: float = bounded(low=0.1, high=60.0, default=1.0)
    reconnect_max_s: float = bounded(low=0.1, high=600.0, default=30.0)
    chatter_changes: int = bounded(low=2, high=10_000, default=50)
    chatter_window_s: float = bounded(low=0.1, high=60.0, default=1.0)
    chatter_quiet_s: float = bounded(low=1.0, high=3600.0, default=10.0)
    opcua_certificates: Path = Path("var/pki/opcua")


@dataclass(frozen=True, slots=True)
class HistorianConfig:
    """How samples reach the database, and how long they stay."""

    batch_rows: int = bounded(low=100, high=100_000, default=10_000)
    batch_age_s: float = bounded(low=0.01, high=60.0, default=0.5)
    spool_mib: int = bounded(low=16, high=1_000_000, default=4096)
    keep_sample_days: int = bounded(low=1, high=36500, default=1830)
    keep_minute_days: int = bounded(low=1, high=36500, default=1830)
    keep_hour_days: int = bounded(low=1, high=36500, default=7320)
    keep_event_days: int = bounded(low=1, high=36500, default=3660)
    keep_reading_days: int = bounded(low=1, high=36500, default=1830)


@dataclass(frozen=True, slots=True)
class HeadEndConfig:
    """How the head-end reads meters."""

    client_id: str = "head-end-1"
    shared_group: str = ""
    receive_maximum: int = bounded(low=100, high=65535, default=20_000)
    in_hand_mib: int = bounded(low=1, high=65_536, default=48)
    writers: int = bounded(low=1, high=16, default=2)
    batch_rows: int = bounded(low=100, high=100_000, default=20_000)
    batch_age_s: float = bounded(low=0.01, high=60.0, default=0.1)
    capture_period_s: int = bounded(low=1, high=86400, default=1800)
    future_s: float = bounded(low=0.0, high=86400.0, default=120.0)
    memory_days: int = bounded(low=1, high=3650, default=60)
    payload_limit_kib: int = bounded(low=1, high=262_144, default=1024)
    quarantine_rows: int = bounded(low=10, high=10_000_000, default=10_000)
    registry_reload_s: float = bounded(low=1.0, high=86400.0, default=30.0)
    gap_grace_s: float = bounded(low=0.0, high=864_000.0, default=0.0)
    gap_look_s: float = bounded(low=0.5, high=86400.0, default=10.0)
    gap_answer_s: float = bounded(low=1.0, high=86400.0, default=300.0)
    gap_first_pause_s: float = bounded(low=1.0, high=864_000.0, default=3600.0)
    gap_longest_pause_s: float = bounded(low=1.0, high=8_640_000.0, default=86400.0)
    gap_per_request: int = bounded(low=1, high=20_000, default=5000)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where the processes tell their state: always loopback, and written to ``var/run``.

    ``port`` is that of ``scada run``, 0 = a free one; every other process takes a free one.
    """

    host: str = bounded(choices=("127.0.0.1", "::1"), default="127.0.0.1")
    port: int = bounded(low=0, high=65535, default=0)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. ``var``, ``stations.folder`` and ``scan.opcua_certificates`` are absolute after
    loading."""

    name: str = "gridscada"
    var: Path = Path("var")
    language: str = bounded(choices=("vi", "en"), default="vi")
    time_zone: str = "Asia/Ho_Chi_Minh"
    services: ServicesConfig = field(default_factory=ServicesConfig)
    stations: StationsConfig = field(default_factory=StationsConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    historian: HistorianConfig = field(default_factory=HistorianConfig)
    head_end: HeadEndConfig = field(default_factory=HeadEndConfig)
    http: HttpConfig = field(default_factory=HttpConfig)


def read_config(path: Path, found: list[Fault]) -> Config | None:
    """The configuration in ``path``, or None with every fault in ``found``. Relative paths are relative to the file."""
    config = load_table(Config, path, found)
    if config is None:
        return None
    root = path.resolve().parent
    return replace(
        config,
        var=root / config.var,
        stations=replace(config.stations, folder=root / config.stations.folder),
        scan=replace(config.scan, opcua_certificates=root / config.scan.opcua_certificates),
    )


def load_config(path: Path) -> Config:
    """The configuration in ``path``. Raises ConfigurationError with every fault."""
    found: list[Fault] = []
    config = read_config(path, found)
    refuse_faults(found)
    assert config is not None
    return config
