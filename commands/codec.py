"""Between an event and the bytes the ledger keeps: plain JSON, a topic naming type and schema version.

An event's shape changes only by a new schema version and an upcaster from the one before; what was written
once stays readable for ever (`tests/golden/`).
"""

import json
from collections.abc import Callable
from typing import Any, get_args

from domain.events import IncidentEvent
from domain.organization_events import OrganizationChange, OrganizationEvent

LedgerEvent = IncidentEvent | OrganizationEvent

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[str, Upcaster] = {}
"""From the topic of an older schema version to the payload of the next version. Empty: all are at version 1."""

_TYPES: dict[str, type[LedgerEvent]] = {
    event.__name__: event for event in (*get_args(IncidentEvent), *get_args(OrganizationEvent))
}


def _latest(name: str) -> int:
    return 1 + sum(topic.startswith(f"{name}/") for topic in UPCASTERS)


_TOPICS = {event: f"{name}/{_latest(name)}" for name, event in _TYPES.items()}
_DECODERS = {topic: event.__pydantic_validator__.validate_json for event, topic in _TOPICS.items()}
_ENCODERS = {event: event.__pydantic_serializer__.to_json for event in _TYPES.values()}


class UnknownEvent(Exception):
    """The ledger holds an event of a type or schema version that this program does not know."""


class OfAnOrganization(UnknownEvent):
    """The entry is about an organisation, not about an incident."""


def encode(event: LedgerEvent) -> tuple[str, bytes]:
    """The topic and the exact bytes to store. What is null is left out."""
    kind = type(event)
    return _TOPICS[kind], _ENCODERS[kind](event, exclude_none=True)


def decode(topic: str, state: bytes) -> IncidentEvent:
    """The event of an incident that was stored. Raises UnknownEvent for a topic from a newer program, and
    OfAnOrganization."""
    event = decode_any(topic, state)
    if isinstance(event, OrganizationChange):
        raise OfAnOrganization(f"{topic} is about an organisation")
    return event


def decode_any(topic: str, state: bytes) -> LedgerEvent:
    """The event that was stored, whatever it is about. Raises UnknownEvent for a topic from a newer program."""
    decoder = _DECODERS.get(topic)
    if decoder is not None:
        event: LedgerEvent = decoder(state)
        return event
    return _upcast(topic, json.loads(state))


def _upcast(topic: str, payload: dict[str, Any]) -> LedgerEvent:
    name, _, version = topic.partition("/")
    kind = _TYPES.get(name)
    if kind is None or version not in map(str, range(1, _latest(name) + 1)):
        raise UnknownEvent(f"{topic} is not known to this version of the program")
    for older in range(int(version), _latest(name)):
        payload = UPCASTERS[f"{name}/{older}"](payload)
    return kind.model_validate(payload)
