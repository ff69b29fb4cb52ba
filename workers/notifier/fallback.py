"""The other way to reach a person when WhatsApp fails: whatever the library Apprise can send to."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from workers.notifier.answers import Unknown
from workers.notifier.words import clean

TIMEOUT_S = 30.0
AT_ONCE = 8

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fallback")
"""Its own: an address that hangs must not keep others from theirs."""


async def send_fallback(url: str, title: str, body: str, *, timeout_s: float = TIMEOUT_S) -> str | Unknown | None:
    """Send to one Apprise address. None when it was taken, otherwise why not, without anything of the address.

    After `timeout_s` seconds the answer is no longer waited for: Unknown, as the message may still go.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            return await loop.run_in_executor(_threads, _send, url, clean(title), clean(body))
    except TimeoutError:
        return Unknown(f"The fallback did not answer within {timeout_s:g} seconds.")
    except Exception as failed:
        return f"The fallback failed ({type(failed).__name__})."


def _send(url: str, title: str, body: str) -> str | None:
    # Imported here because it takes a second and most installations never need it.
    from apprise import Apprise

    # It logs tokens of addresses that it cannot use.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    service = Apprise.instantiate(url)
    if service is None:
        return "The fallback's address is not one that can be used."
    return None if Apprise([service]).notify(body=body, title=title) else "The fallback did not take the message."
