"""An entry of the ledger on its way to a consumer: as it was stored, not decoded yet."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError

from commands import codec
from domain.recorded import Recorded

RESENT = "resent"
"""The header of a message that an operator has sent again."""

NOT_OURS = "not-in-the-ledger"
"""The mark on a message from a topic that is no entry of our ledger, whatever it says of itself."""


class Undecodable(Exception):
    """A message that is not an entry of the ledger as this program knows them."""


class Message(NamedTuple):
    """One entry, the same over both transports.

    partition, place: where it was read: 0 and the position in the ledger, or Kafka's partition and offset.
    key: the incident id as text. body: the stored JSON, byte for byte.
    headers: event-id (`<incident id>:<version>`), type, schema-version, organization, position, version,
    recorded-at (RFC 3339, UTC); in Kafka also severity (the incident's as of that event).
    """

    partition: int
    place: int
    key: bytes
    headers: Mapping[str, str]
    body: bytes

    @property
    def position(self) -> int | None:
        """Its place in the ledger; None where it does not say, or nonsense."""
        if NOT_OURS in self.headers:
            return None
        try:
            position = int(self.headers["position"])
        except (KeyError, ValueError):
            return None
        return position if 0 < position < 2**63 else None

    @property
    def is_resent(self) -> bool:
        """Whether it comes late because an operator sent it again: it is not a repetition."""
        return RESENT in self.headers


def recorded(message: Message) -> Recorded:
    """The entry, decoded. Raises Undecodable, and codec.OfAnOrganization for what is about no incident."""
    headers = message.headers
    if NOT_OURS in headers:
        raise Undecodable("the ledger has no such entry")
    try:
        recorded_at = datetime.fromisoformat(headers["recorded-at"])
        if recorded_at.utcoffset() is None:
            raise ValueError("recorded-at names no time zone")
        return Recorded(
            int(headers["position"]),
            UUID(message.key.decode()),
            int(headers["version"]),
            recorded_at,
            codec.decode(f"{headers['type']}/{headers['schema-version']}", message.body),
        )
    except codec.OfAnOrganization:
        raise
    except KeyError as missing:
        raise Undecodable(f"the header {missing} is missing") from missing
    except Exception as wrong:  # of any kind: the bytes may be anything
        raise Undecodable(words_of(wrong)) from wrong


def words_of(problem: BaseException) -> str:
    """A problem in words for a log: without what came, which is in the dead letter and may be personal."""
    said = str(problem)
    if isinstance(problem, ValidationError):
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problem.errors())
    return f"{type(problem).__name__}: {said}"


def is_entry(message: Message) -> bool:
    """Whether it can be decoded."""
    try:
        recorded(message)
    except Undecodable:
        return False
    except codec.OfAnOrganization:
        return True
    return True


def printable(text: str) -> str:
    """Text that PostgreSQL can keep: the character NUL, which it cannot, is written as an escape."""
    return text.replace("\0", "\\x00")


def text_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Kafka's headers as texts; bytes that are not UTF-8 are written as escapes."""
    return {
        printable(name): printable((value or b"").decode(errors="backslashreplace")) for name, value in headers
    }
