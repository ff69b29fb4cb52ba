"""Between an event and the bytes the ledger keeps: plain JSON, a topic naming type and schema version.

An event's shape changes only by a new schema version and an upcaster from the one before; what was written
once stays readable for ever (`tests/golden/`).
"""

import json
from collections.abc import Callable
from typing import Any, get_args

from domain.events import IncidentEvent

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[str, Upcaster] = {}
"""From the topic of an older schema version to the payload of the next version. Empty: all are at version 1."""

_TYPES: dict[str, type[IncidentEvent]] = {event.__name__: event for event in get_args(IncidentEvent)}


def _latest(name: str) -> int:
    return 1 + sum(topic.startswith(f"{name}/") for topic in UPCASTERS)


_TOPICS = {event: f"{name}/{_latest(name)}" for name, event in _TYPES.items()}
_DECODERS = {topic: event.__pydantic_validator__.validate_json for event, topic in _TOPICS.items()}
_ENCODERS = {event: event.__pydantic_serializer__.to_json for event in _TYPES.values()}


class UnknownEvent(Exception):
    """The ledger holds an event of a type or schema version that this program does not know."""


def encode(event: IncidentEvent) -> tuple[str, bytes]:
    """The topic and the exact bytes to store. What is null is left out."""
    kind = type(event)
    return _TOPICS[kind], _ENCODERS[kind](event, exclude_none=True)


def decode(topic: str, state: bytes) -> IncidentEvent:
    """The event that was stored. Raises UnknownEvent for a topic from a newer program."""
    decoder = _DECODERS.get(topic)
    if decoder is not None:
        event: IncidentEvent = decoder(state)
        return event
    return _upcast(topic, json.loads(state))


def _upcast(topic: str, payload: dict[str, Any]) -> IncidentEvent:
    name, _, version = topic.partition("/")
    kind = _TYPES.get(name)
    if kind is None or version not in map(str, range(1, _latest(name) + 1)):
        raise UnknownEvent(f"{topic} is not known to this version of the program")
    for older in range(int(version), _latest(name)):
        payload = UPCASTERS[f"{name}/{older}"](payload)
    return kind.model_validate(payload)
