"""libmodbus through ctypes: another implementation of Modbus TCP, to judge ours from outside. For tests only."""

import contextlib
import ctypes
import socket
import threading
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_int, c_uint8, c_uint16, c_uint32, c_void_p

_LIBRARY = "libmodbus.so.5"
_MOST_FRAME = 260


def library() -> ctypes.CDLL:
    """The distribution's library. Raises OSError when the set-up has not installed it: a test must not skip then."""
    found = ctypes.CDLL(_LIBRARY, use_errno=True)
    found.modbus_new_tcp.restype = c_void_p
    found.modbus_new_tcp.argtypes = [c_char_p, c_int]
    found.modbus_mapping_new.restype = c_void_p
    found.modbus_mapping_new.argtypes = [c_int] * 4
    found.modbus_strerror.restype = c_char_p
    for name in ("modbus_connect", "modbus_close", "modbus_free"):
        getattr(found, name).argtypes = [c_void_p]
    found.modbus_set_slave.argtypes = [c_void_p, c_int]
    found.modbus_set_response_timeout.argtypes = [c_void_p, c_uint32, c_uint32]
    found.modbus_set_socket.argtypes = [c_void_p, c_int]
    found.modbus_receive.argtypes = [c_void_p, POINTER(c_uint8)]
    found.modbus_reply.argtypes = [c_void_p, POINTER(c_uint8), c_int, c_void_p]
    for name in ("modbus_read_registers", "modbus_read_input_registers"):
        getattr(found, name).argtypes = [c_void_p, c_int, c_int, POINTER(c_uint16)]
    for name in ("modbus_read_bits", "modbus_read_input_bits"):
        getattr(found, name).argtypes = [c_void_p, c_int, c_int, POINTER(c_uint8)]
    found.modbus_write_registers.argtypes = [c_void_p, c_int, c_int, POINTER(c_uint16)]
    for name in ("modbus_set_float_abcd", "modbus_set_float_badc", "modbus_set_float_cdab", "modbus_set_float_dcba"):
        getattr(found, name).argtypes = [ctypes.c_float, POINTER(c_uint16)]
        getattr(found, name).restype = None
    return found


class Mapping(ctypes.Structure):
    """``modbus_mapping_t`` of libmodbus 3.1."""

    _fields_ = (
        ("nb_bits", c_int),
        ("start_bits", c_int),
        ("nb_input_bits", c_int),
        ("start_input_bits", c_int),
        ("nb_input_registers", c_int),
        ("start_input_registers", c_int),
        ("nb_registers", c_int),
        ("start_registers", c_int),
        ("tab_bits", POINTER(c_uint8)),
        ("tab_input_bits", POINTER(c_uint8)),
        ("tab_input_registers", POINTER(c_uint16)),
        ("tab_registers", POINTER(c_uint16)),
    )


class LibmodbusClient:
    """A client; calls block."""

    def __init__(self, port: int, unit: int) -> None:
        self._library = library()
        self._context = self._library.modbus_new_tcp(b"127.0.0.1", port)
        self._library.modbus_set_slave(self._context, unit)
        # Half a second is the library's own: too short for a machine with too much to do.
        self._library.modbus_set_response_timeout(self._context, 30, 0)
        if self._library.modbus_connect(self._context) != 0:
            raise ConnectionError(self._why())

    def close(self) -> None:
        self._library.modbus_close(self._context)
        self._library.modbus_free(self._context)

    def input_registers(self, address: int, count: int) -> list[int]:
        return self._read("modbus_read_input_registers", address, (c_uint16 * count)())

    def holding_registers(self, address: int, count: int) -> list[int]:
        return self._read("modbus_read_registers", address, (c_uint16 * count)())

    def discrete_inputs(self, address: int, count: int) -> list[int]:
        return self._read("modbus_read_input_bits", address, (c_uint8 * count)())

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        words = (c_uint16 * len(values))(*values)
        if self._library.modbus_write_registers(self._context, address, len(values), words) != len(values):
            raise ValueError(self._why())

    def _read(self, function: str, address: int, into: "ctypes.Array[c_uint16] | ctypes.Array[c_uint8]") -> list[int]:
        """Raises ValueError with libmodbus' own words for an exception of the device."""
        if getattr(self._library, function)(self._context, address, len(into), into) != len(into):
            raise ValueError(self._why())
        return [int(each) for each in into]

    def _why(self) -> str:
        return str(self._library.modbus_strerror(ctypes.get_errno()).decode())


class LibmodbusServer:
    """A device with 200 addresses in each table, answered by libmodbus in a thread; use as ``with``."""

    SIZE = 200

    def __init__(self, unit: int) -> None:
        self._library = library()
        self._unit = unit
        self._mapping = self._library.modbus_mapping_new(*[self.SIZE] * 4)
        self.tables = ctypes.cast(self._mapping, POINTER(Mapping)).contents
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="libmodbus server", daemon=True)

    def put_float(self, address: int, value: float, order: str) -> None:
        """Set two input registers with libmodbus' own conversion; ``order``: abcd, badc, cdab or dcba."""
        words = (c_uint16 * 2)()
        getattr(self._library, f"modbus_set_float_{order}")(value, words)
        self.tables.tab_input_registers[address] = words[0]
        self.tables.tab_input_registers[address + 1] = words[1]

    def __enter__(self) -> "LibmodbusServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        context = self._library.modbus_new_tcp(b"127.0.0.1", self.port)
        self._library.modbus_set_slave(context, self._unit)
        self._library.modbus_set_socket(context, connection.fileno())
        query = (c_uint8 * _MOST_FRAME)()
        while (length := self._library.modbus_receive(context, query)) >= 0:
            if length and self._library.modbus_reply(context, query, length, self._mapping) < 0:
                break
        self._library.modbus_free(context)
