"""What was stored once of an organisation is read for ever, and has the same bytes as then (see `test_codec`)."""

import json
from pathlib import Path
from typing import get_args

import pytest
from orggiven import EVENTS, FULL_SCHEDULE

from commands import codec
from domain import organization_events as o

GOLDEN = Path(__file__).parents[1] / "golden"


def stored(name: str) -> list[tuple[str, bytes]]:
    content = json.loads((GOLDEN / name).read_text("utf-8"))
    return [(content["topic"], state.encode()) for state in content["states"]]


def of_type(kind: type) -> list[o.OrganizationEvent]:
    return [event for event in EVENTS if type(event) is kind]


@pytest.mark.parametrize("kind", get_args(o.OrganizationEvent), ids=lambda kind: kind.__name__)
def test_what_was_stored_at_version_1_is_read_and_written_as_then(kind: type[o.OrganizationEvent]) -> None:
    entries = stored(f"{kind.__name__}.1.json")
    assert [codec.decode_any(topic, state) for topic, state in entries] == of_type(kind)
    assert [codec.encode(event) for event in of_type(kind)] == entries
    assert {topic for topic, _ in entries} == {f"{kind.__name__}/1"}


def test_every_type_has_its_golden_events() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(o.OrganizationEvent))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_fields_that_a_newer_program_added_are_passed_over(event: o.OrganizationEvent) -> None:
    topic, state = codec.encode(event)
    payload = {**json.loads(state), "mood": "tense"}
    for inner in ("schedule", "policy", "window", "quiet", "targets"):
        if isinstance(payload.get(inner), dict):
            payload[inner]["mood"] = {"a": [1]}
    assert codec.decode_any(topic, json.dumps(payload).encode()) == event


def test_a_gap_that_was_made_on_purpose_is_kept_as_one() -> None:
    event = next(e for e in EVENTS if isinstance(e, o.ScheduleDefined) and e.schedule == FULL_SCHEDULE)
    overrides = json.loads(codec.encode(event)[1])["schedule"]["overrides"]
    assert overrides[1]["person"] is None
