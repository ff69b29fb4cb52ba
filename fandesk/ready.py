"""Waits until a started product really serves, so that what is printed then is true."""

import time
import urllib.error
import urllib.request

from fandesk.compose import Config

LOOK_EVERY_S = 0.05


def wait_ready(config: Config, within_s: float = 30.0) -> bool:
    """Whether /readyz answers 200 in time."""
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    address = f"http://[{host}]:{config.port}/readyz" if ":" in host else f"http://{host}:{config.port}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            with opener.open(address, timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            time.sleep(LOOK_EVERY_S)
    return False
