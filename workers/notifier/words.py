"""Text as it may go to Meta and into the database: clean, on one line, not too long."""

import re

ELLIPSIS = "…"

UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What neither PostgreSQL's text nor UTF-8 can hold."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """The text without NUL and half surrogate pairs; a mark stands in their place."""
    return UNSTORABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The text without control characters, and with one space for each run of whitespace."""
    return " ".join(CONTROL.sub(" ", clean(text)).split())


def units(text: str) -> int:
    """The length in UTF-16 units, where an emoji counts two: never less than Python's length, so that a limit
    holds whichever of the two Meta means by characters."""
    return len(text) + sum(character > "\uffff" for character in text)


def cut(text: str, most: int) -> str:
    """The text, or as much of its beginning as fits with an ellipsis. most: in units, at least 1."""
    if units(text) <= most:
        return text
    room, end = most - units(ELLIPSIS), 0
    while end < len(text) and units(text[end]) <= room:
        room -= units(text[end])
        end += 1
    return text[:end].rstrip(" \u200d") + ELLIPSIS
