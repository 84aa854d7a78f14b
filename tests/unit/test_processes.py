"""Whoever answers at a process's written address is believed only when it answers like that process."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from scada.config import HttpConfig
from scada.hmi.door import DoorTaken, StateDoor
from scada.hmi.processes import ProcessSilent, ask, processes


class Stranger(BaseHTTPRequestHandler):
    """A server that took over the port; the path is what it answers: ``/STATUS/BODY``."""

    def do_GET(self) -> None:
        _, status, body = unquote(self.path).split("/", 2)
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        (tmp_path / "run").mkdir()
        place = {"name": "run", "pid": 1, "url": f"http://127.0.0.1:{server.server_port}"}
        (tmp_path / "run" / "run.json").write_text(json.dumps(place))
        yield tmp_path
        server.shutdown()
        thread.join()


def test_an_answer_of_ours_is_taken_as_it_is(var: Path) -> None:
    assert ask(var, "run", '/200/{"process":"run"}') == {"process": "run"}


def test_a_404_of_ours_is_a_key_error_with_its_sentence(var: Path) -> None:
    with pytest.raises(KeyError, match="no station"):
        ask(var, "run", '/404/{"error":"no station"}')


@pytest.mark.parametrize(
    "path", ["/500/oops", "/200/<html>", "/200/[1]", "/404/gone", "/404/[]", "/404/{}", '/503/{"a":1}']
)
def test_what_a_stranger_answers_is_silence_of_ours(var: Path, path: str) -> None:
    with pytest.raises(ProcessSilent, match="and not as scada run would"):
        ask(var, "run", path)


def test_another_process_at_the_address_of_one_that_died_is_not_taken_for_it(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scada.hmi.processes.ask", lambda var, name: {"process": "collect", "pid": 7})
    run, collect, jobs = processes(var)
    assert (run.state, run.why) == (None, "scada run is not running; at its address answers collect")
    assert collect.state == {"process": "collect", "pid": 7}
    assert jobs.state is None


async def test_a_taken_port_is_one_sentence_that_names_the_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DoorTaken, match=f"127.0.0.1 port {port} for the state of run: Address already in use; set"):
            StateDoor("run", {}, HttpConfig(port=port), tmp_path)
