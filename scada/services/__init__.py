"""The historian's database and the broker: private ones under ``var/``, or external ones named in ``config.toml``.

``supervisor`` starts, stops and asks; nothing is loaded here, so that naming the package opens no driver.
"""
