"""What a refusal of Meta's means for the message: try again soon, get people to put something right, or give up.

Sources: Meta's list of error codes (developers.facebook.com, business-messaging/whatsapp/support/error-codes),
which says for each whether to wait, to correct the account or to change the message; the Graph API's list (its
guide to error handling) for the codes below 1000 and for subcode 33; the pair rate's 6 seconds are from the page
on throughput. Codes of neither list count as `never`, so that nothing is sent for ever.
"""

import random
import re
from typing import Literal, assert_never

from workers.notifier.redaction import redacted
from workers.notifier.words import cut, one_line

Verdict = Literal["busy", "account", "never"]
"""busy: try again with backoff. account: slowly, as people must put something right. never: it will not go."""

PAIR_RATE = 131056
"""Too many messages to one person: nothing may go to them for 6 seconds."""

BUSY = frozenset(
    {
        1,  # unknown error, perhaps Meta is down
        2,  # down or overloaded
        4,  # the app's calls
        80007,  # the business account's calls
        130429,  # the number's messages per second
        131000,  # something went wrong
        131016,  # a service is overloaded
        131048,  # too many people have blocked or reported the number
        PAIR_RATE,
        131057,  # the account is in maintenance, as while its throughput is raised
        133004,  # the server is unavailable
    }
)

ACCOUNT = frozenset(
    {
        0,  # the user cannot be authenticated
        3,  # no capability
        10,  # no permission
        190,  # the token has expired
        *range(200, 300),  # no permission
        368,  # blocked for violating a policy
        2500,  # unknown path: the base URL is wrong
        131005,  # access denied
        131031,  # locked
        131042,  # payment
        133010,  # the number is not registered
    }
)

NO_SUCH_OBJECT = (100, 33)
"""Code and subcode where the phone number id in the URL is wrong, or the token may not use it."""

BUSY_STATUSES = frozenset({408, 425, 429})
ACCOUNT_STATUSES = frozenset({*range(300, 400), 401, 403, 404, 405, 407})
"""Answers without a code, so from something before Meta, or at an address that is not Meta's."""

MAX_REASON = 300

PREFIX = re.compile(r"^\(#\d+\)\s*")
"""How most messages of Meta's begin."""


def verdict(code: int | None, http_status: int | None = None, subcode: int | None = None) -> Verdict:
    """What a refusal means. http_status: of an answer in Meta's form; None for a status webhook."""
    if code in BUSY:
        return "busy"
    if code in ACCOUNT or (code, subcode) == NO_SUCH_OBJECT:
        return "account"
    status = http_status or 0
    if status >= 500 or status == 429 or (code is None and status in BUSY_STATUSES):
        return "busy"
    if code is None and status in ACCOUNT_STATUSES:
        return "account"
    return "never"


def verdict_of_status(errors: object) -> tuple[int | None, str, Verdict]:
    """Code, reason and verdict from the `errors` of a `failed` status, of which any field may be missing or odd.

    The first error that is an object counts; the reason is as `reason` gives it.
    """
    listed = errors if isinstance(errors, list) else [errors]
    error = next((each for each in listed if isinstance(each, dict)), {})
    code = number(error.get("code"))
    return code, reason(error, "WhatsApp could not deliver it, and did not say why."), verdict(code)


def reason(error: dict[str, object], otherwise: str, private: tuple[str, ...] = ()) -> str:
    """Words for people from an error of Meta's, at most 300 characters, without phone numbers, tokens and what
    else is private. otherwise: where the error says nothing."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    heard = [each for each in (error.get("message") or error.get("title"), details) if isinstance(each, str)]
    said = PREFIX.sub("", ": ".join(each for each in dict.fromkeys(map(one_line, heard)) if each))
    code = number(error.get("code"))
    prefix = "" if code is None else f"(#{code}) "
    return cut(prefix + (redacted(said, private) or otherwise), MAX_REASON)


def number(value: object) -> int | None:
    """A code of Meta's, also where it came as digits in a string; None for everything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31:
        return value
    return None


def backoff_s(verdict: Verdict, tries: int, rng: random.Random, *, code: int | None = None) -> float:
    """Seconds until the next try, up to 20 % more or less, so that not everybody comes back at once.

    busy: 1, 2, 4 ... 60; account: 60, 120 ... 600. tries: made so far, from 1. code: Meta's; after 131056 it is
    never less than 6 s.

    Raises:
        ValueError: for `never`.
    """
    match verdict:
        case "busy":
            first, longest = 1.0, 60.0
        case "account":
            first, longest = 60.0, 600.0
        case "never":
            raise ValueError("What will never go is not tried again.")
        case _:
            assert_never(verdict)
    doubled = first * 2.0 ** min(max(tries, 1) - 1, 16)
    wait = min(doubled, longest) * rng.uniform(0.8, 1.2)
    return max(wait, 6.0) if code == PAIR_RATE else wait
