"""The one place where pypowsybl is imported: silent, and independent of any configuration file in the user's home.

Its import takes 0.6 s, and without a handler on its logger it warns on stderr of extras that are not needed here.
"""

import logging

logging.getLogger("powsybl").addHandler(logging.NullHandler())

import pypowsybl  # noqa: E402  # after the handler on its logger
import pypowsybl.loadflow as flow  # noqa: E402  # after the handler on its logger
import pypowsybl.network as net  # noqa: E402  # after the handler on its logger

pypowsybl.set_config_read(False)

__all__ = ["flow", "net"]
