"""Texts of a file as the database can keep them: the one place that every imported event passes."""

from typing import Any

from pydantic_core import PydanticSerializationError

from commands import codec
from domain.events import IncidentEvent

_NUL = b"\\u0000"


def storable(event: IncidentEvent) -> tuple[str, bytes]:
    """The event encoded; a NUL or lone surrogate in any of its texts is shown as U+FFFD, as PostgreSQL keeps
    neither."""
    try:
        encoded = codec.encode(event)
    except (PydanticSerializationError, UnicodeEncodeError):
        return codec.encode(_cleaned(event))
    return encoded if _NUL not in encoded[1] else codec.encode(_cleaned(event))


def _cleaned(event: IncidentEvent) -> IncidentEvent:
    return type(event).model_validate(_clean(event.model_dump()))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def clean_text(text: str) -> str:
    """The text without NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
