"""Takes out of other people's words what must not be kept: they quote what was sent to them."""

import re

GONE = "[removed]"

TOKEN = re.compile(r"\bEAA[0-9A-Za-z]{8,}|\bBearer\s+\S+", re.IGNORECASE)
"""Meta's access tokens begin so; Meta quotes them where they are malformed."""

PHONE = re.compile(r"\+?\d(?:[\s().-]{0,2}\d){6,}")
"""Seven digits or more, also where they are written in groups."""


def redacted(text: str, private: tuple[str, ...] = ()) -> str:
    """The text without tokens, phone numbers and the private strings, the longest of these first."""
    secrets = sorted({re.escape(each) for each in private if each}, key=len, reverse=True)
    if secrets:
        text = re.sub("|".join(secrets), GONE, text)
    return PHONE.sub(GONE, TOKEN.sub(GONE, text))
