"""What the private servers are told: PostgreSQL's settings, Mosquitto's configuration and access list.

Knows every setting and why it has its value. Opens nothing: text out of numbers and paths.
"""

from pathlib import Path

from scada.services.endpoints import Role

MIB = 1 << 20


POSTGRES_CONF = """\
# Written at every start. Own settings belong into local.conf beside it, which is read last.

# Private: nobody outside this machine. No socket file: its path is limited to 107 bytes, and var/ may lie deeper.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
# A handful of processes with small pools; each connection costs memory.
max_connections = 60

# Hypertables need it in every backend. Nothing is reported to anybody. Its jobs run outside, in `scada jobs`, so
# a launcher and one database need few workers.
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = 'off'
timescaledb.max_background_workers = 4

# Shares of this machine's memory: the scan, the head-end, the broker and the page cache live here too.
shared_buffers = {shared_buffers}
effective_cache_size = {cache}
# Sorting a day's readings of a feeder; building the (meter, time) index of a closed day's chunk.
work_mem = {work_mem}
maintenance_work_mem = {maintenance_work_mem}

# What is acknowledged to a meter survives a power cut. Asynchronous commit brought nothing end to end.
fsync = on
full_page_writes = on
synchronous_commit = on
# 366,000 rows/s write about 60 MB/s of log: a checkpoint a minute under full load instead of one every 15 s, so fewer
# full page images; lz4 shrinks those for little CPU. Recovery after a crash reads 4 GB at most.
max_wal_size = '4GB'
min_wal_size = '256MB'
checkpoint_timeout = '15min'
wal_compression = lz4

# Solid-state disks.
random_page_cost = 1.1
effective_io_concurrency = 100
# Queries take milliseconds: compiling them takes longer than running them, and two cores are shared with the scan.
jit = off
max_parallel_workers_per_gather = 1

# Time inside is UTC; zones belong to the edges. Messages are recognised by their English text.
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
cluster_name = 'gridscada'

# Seven files that overwrite themselves, one a weekday, instead of one that grows.
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = '1d'
log_rotation_size = 0
log_truncate_on_rotation = on
# The first things to look at when inserts stutter.
log_checkpoints = on
log_lock_waits = on
"""


def memory_share(memory_bytes: int, *, parts: int, low_mib: int, high_mib: int) -> str:
    """One of so many parts of the memory, between two bounds, in PostgreSQL's spelling."""
    return f"{min(high_mib, max(low_mib, memory_bytes // parts // MIB))}MB"


def postgres_conf(*, port: int, memory_bytes: int) -> str:
    """The text of ``gridscada.conf`` for a machine with this much memory."""
    return POSTGRES_CONF.format(
        port=port,
        shared_buffers=memory_share(memory_bytes, parts=8, low_mib=128, high_mib=4096),
        cache=memory_share(memory_bytes, parts=2, low_mib=256, high_mib=65536),
        work_mem=memory_share(memory_bytes, parts=512, low_mib=8, high_mib=64),
        maintenance_work_mem=memory_share(memory_bytes, parts=48, low_mib=64, high_mib=1024),
    )


MOSQUITTO_CONF = """\
# Written at every start.

# Private: nobody outside this machine. Every client needs a name, a password and an entry in the access list.
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/access

# Mosquitto's limits drop QoS 1 messages that were already acknowledged to the publisher (1,000 queued per client by
# default): a head-end that commits before it acknowledges loses them. No limit on messages, and none on bytes:
# at a bound on memory the broker would lose what it had promised to keep. Measured: about 400 B per waiting message
# plus its payload; watch the process.
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
max_inflight_bytes 0

# 10,000 concentrators and modems. The listen queue holds 100: clients must connect with jitter.
max_connections -1
set_tcp_nodelay true

# A concentrator's batch of 200 readings is 40 kB. Far above it a device gone mad is cut off; and above what the
# head-end accepts, so that the head-end counts an oversized payload as rejected instead of never seeing it.
max_packet_size {packet_limit}

# Sessions and waiting messages survive a restart, of those clients that connect without "clean start", also the first
# time. The database is written as a whole, which stops the broker meanwhile (measured: 0.1 s with 200,000 waiting
# messages); a clean stop writes it too. What is acknowledged to a publisher and not yet delivered when the broker
# is killed within this interval is gone from the broker; meters keep their load profile and send the last intervals
# again after reconnecting.
persistence true
persistence_location {folder}/
persistence_file mosquitto.db
autosave_on_changes false
autosave_interval {autosave_s}

# A head-end that is away for a day must find its messages; it names its own expiry (MQTT 5). Sessions of
# concentrators without one end after a fortnight.
persistent_client_expiration 14d

sys_interval 10
pid_file {folder}/mosquitto.pid
# No line per connection: a reconnect storm would be 20,000 lines.
connection_messages false
log_dest file {folder}/mosquitto.log
log_type error
log_type warning
log_type notice
log_type information
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""

PACKET_LIMIT_BYTES = 4 * MIB
AUTOSAVE_S = 5


def mosquitto_conf(*, port: int, folder: Path) -> str:
    """The text of ``mosquitto.conf``."""
    return MOSQUITTO_CONF.format(
        port=port,
        folder=folder,
        packet_limit=PACKET_LIMIT_BYTES,
        autosave_s=AUTOSAVE_S,
    )


# Upwards ami/v1/<unit>/<concentrator>/<meter>/{profile|register|event|state} and .../<concentrator>/batch/profile;
# downwards ami/v1/<unit>/<concentrator>/<meter>/request. A shared subscription is checked by the topics it delivers.
MOSQUITTO_ACCESS: dict[Role, tuple[str, ...]] = {
    Role.HEADEND: ("read ami/#", "write ami/v1/+/+/+/request", "read $SYS/#"),
    Role.FIELD: ("write ami/v1/#", "read ami/v1/+/+/+/request"),
    Role.MONITOR: ("read $SYS/#",),
}


def mosquitto_access() -> str:
    """The text of the access list: what is not named is refused."""
    return "\n".join(
        line
        for role, topics in MOSQUITTO_ACCESS.items()
        for line in (f"user {role}", *(f"topic {topic}" for topic in topics), "")
    )
