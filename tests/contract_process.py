"""The local contract office that tests of whole commands share, in the session's services."""

import random

from scada.config import Config
from scada.contract_office.office import make_local, settings_path
from scada.services.processes import choose_port

PATIENCE = "fetch_limit_s = 60.0\n"


def local_office(config: Config) -> None:
    """Made when there is none yet. It waits for a busy machine's own authority as long as it takes."""
    path = settings_path(config)
    if not path.exists():
        make_local(config, choose_port(random.SystemRandom()))
    text = path.read_text(encoding="utf-8")
    if PATIENCE not in text:
        path.write_text(text.replace("tsa_url", f"{PATIENCE}tsa_url"), encoding="utf-8")
