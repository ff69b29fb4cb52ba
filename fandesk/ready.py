"""Whether a started product really serves, so that what is printed then is true."""

import http.client
import urllib.request

from fandesk.compose import Config

ANSWER_WITHIN_S = 1.0


def is_ready(config: Config) -> bool:
    """Whether /readyz answers 200 now."""
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    address = f"http://[{host}]:{config.port}/readyz" if ":" in host else f"http://{host}:{config.port}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=ANSWER_WITHIN_S) as answer:
            return bool(answer.status == 200)
    except (http.client.HTTPException, OSError):  # URLError is an OSError
        return False
