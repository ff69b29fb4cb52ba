"""What was stored once is read for ever, and what is stored today has the same bytes as then.

`tests/golden/` holds one file for each event type and schema version, with the exact stored bytes. A file is
never changed: a new shape is a new schema version, an upcaster, and a new file.
"""

import json
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from given import ALICE, OTHER, PROMETHEUS, STEP, at, meta, triggered
from orggiven import EVENTS as OF_ORGANIZATIONS

from commands import codec
from domain import events as e

GOLDEN = Path(__file__).parents[1] / "golden"
SEEN = e.AlertSeen(
    fingerprint="f1", summary="5xx", labels={"job": "web"}, starts_at="2026-03-02T09:00:00Z", count=3
)
WHATSAPP = e.Actor(kind="whatsapp", id=UUID(int=0xE))
SYSTEM = e.Actor(kind="system")

EVENTS: list[e.IncidentEvent] = [
    triggered(),
    triggered(
        -1.5, PROMETHEUS, title='Ünï "quoted" \\ 🔥', description="a\nb\tc\u2028d", category="outage",
        dedup_key="k/1", labels={"região": "são paulo", "": ""}, source="alertmanager", team="payments",
        alerts=(SEEN, e.AlertSeen(fingerprint="f2", summary="")),
    ),
    e.IncidentAcknowledged(**meta(1)),
    e.IncidentAcknowledged(**meta(1, WHATSAPP), note="On it"),
    e.InvestigationStarted(**meta(2)),
    e.InvestigationStarted(**meta(2), note=""),
    e.UpdatePosted(**meta(3), body="<b>&amp;</b>"),
    e.ResponderAssigned(**meta(4)),
    e.ResponderAssigned(**meta(4), person_id=ALICE.id),
    e.ResponderAssigned(**meta(4, SYSTEM), person_id=ALICE.id, because="on call"),
    e.TeamAssigned(**meta(5)),
    e.TeamAssigned(**meta(5), team="payments"),
    e.TeamAssigned(**meta(5, SYSTEM), team="payments", because="rule 1", rule=OTHER),
    e.SeverityChanged(**meta(6), severity="low", previous="critical", response_target_s=86400),
    e.SeverityChanged(**meta(6), severity="medium", previous="high", response_target_s=14400, reason="Contained"),
    e.CategoryChanged(**meta(7)),
    e.CategoryChanged(**meta(7), category="security", previous="bug"),
    e.AlertReceived(**meta(8, PROMETHEUS), count=3, first_at=at(7), last_at=at(8), alerts=(SEEN,)),
    e.AlertReceived(**meta(8), count=1, first_at=at(8), last_at=at(8)),
    e.IncidentEscalated(**meta(9, SYSTEM), step=2),
    e.IncidentEscalated(**meta(9, SYSTEM), step=2, reason="Nobody acknowledged"),
    e.IncidentEscalated(**meta(9, SYSTEM), step=3, people=(ALICE.id,), everybody=True, round=2),
    e.ResponseTargetMissed(**meta(9, SYSTEM), response_target_s=300),
    e.MaintenanceEnded(**meta(9, SYSTEM), window="Upgrade", severity="critical"),
    e.IncidentResolved(**meta(10)),
    e.IncidentResolved(**meta(10), note="Rolled back"),
    e.IncidentReopened(**meta(11), reason="Back again"),
    e.IncidentMerged(**meta(12), into=OTHER, into_number=8),
    e.IncidentAbsorbed(**meta(12), merged_id=OTHER, merged_number=7, alert_count=0),
    e.DetailsCorrected(**meta(13)),
    e.DetailsCorrected(
        **meta(13), title="T", description="", labels={}, triggered_at=at(-3), acknowledged_at=at(-2),
        resolved_at=at(0.000001), reason="Clock",
    ),
    e.PostmortemStarted(**meta(14)),
    e.AlertSent(**meta(15, SYSTEM), **STEP),
    e.AlertDelivered(**meta(16, SYSTEM), **STEP),
    e.AlertRead(**meta(17, SYSTEM), **STEP),
    e.AlertFailed(**meta(18, SYSTEM), **STEP, reason="The number is not on WhatsApp."),
]  # fmt: skip
"""What the golden files of the present schema versions say, in their order: least and most of each type."""


def stored(name: str) -> list[tuple[str, bytes]]:
    content = json.loads((GOLDEN / name).read_text("utf-8"))
    return [(content["topic"], state.encode()) for state in content["states"]]


def of_type(kind: type) -> list[e.IncidentEvent]:
    return [event for event in EVENTS if type(event) is kind]


@pytest.mark.parametrize("kind", get_args(e.IncidentEvent), ids=lambda kind: kind.__name__)
def test_what_was_stored_at_version_1_is_read_and_written_as_then(kind: type[e.IncidentEvent]) -> None:
    entries = stored(f"{kind.__name__}.1.json")
    assert [codec.decode(topic, state) for topic, state in entries] == of_type(kind)
    assert [codec.encode(event) for event in of_type(kind)] == entries
    assert {topic for topic, _ in entries} == {f"{kind.__name__}/1"}


def test_there_is_a_golden_file_for_every_type_and_version_and_no_other() -> None:
    expected = {
        f"{topic.replace('/', '.')}.json"
        for topic in (*codec.UPCASTERS, *map(topic_of, (*EVENTS, *OF_ORGANIZATIONS)))
    }
    assert {path.name for path in GOLDEN.glob("*.json")} == expected
    assert {type(event) for event in EVENTS} == set(get_args(e.IncidentEvent))


def topic_of(event: codec.LedgerEvent) -> str:
    return codec.encode(event)[0]


@pytest.mark.parametrize(
    "topic",
    ["IncidentExploded/1", "UpdatePosted/2", "UpdatePosted/999", "UpdatePosted/", "UpdatePosted", "UpdatePosted/x",
     "UpdatePosted/²", "UpdatePosted/-1", "", "/1", "Event/1"],
)  # fmt: skip
def test_what_a_newer_program_wrote_is_unknown(topic: str) -> None:
    with pytest.raises(codec.UnknownEvent, match="is not known"):
        codec.decode(topic, codec.encode(e.UpdatePosted(**meta(), body="B"))[1])


def test_there_is_no_schema_version_0() -> None:
    with pytest.raises(codec.UnknownEvent, match="is not known"):
        codec.decode("UpdatePosted/0", codec.encode(e.UpdatePosted(**meta(), body="B"))[1])


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_fields_that_a_newer_program_added_are_passed_over(event: e.IncidentEvent) -> None:
    topic, state = codec.encode(event)
    payload = {**json.loads(state), "mood": "tense", "nested": {"a": [1]}}
    payload["actor"]["device"] = "phone"
    assert codec.decode(topic, json.dumps(payload).encode()) == event


def test_what_is_null_is_left_out_and_what_is_empty_is_kept() -> None:
    payload = json.loads(codec.encode(e.DetailsCorrected(**meta(), labels={}, description=""))[1])
    assert (payload["labels"], payload["description"]) == ({}, "")
    assert not {"title", "triggered_at", "reason"} & set(payload)


def test_times_are_stored_in_utc_with_microseconds() -> None:
    payload = json.loads(codec.encode(e.UpdatePosted(**meta(0.5), body="B"))[1])
    assert payload["occurred_at"] == "2026-03-02T09:00:30.000000Z"


def test_older_versions_are_brought_up_to_the_present_one_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    at_version_3 = codec.encode(e.UpdatePosted(**meta(), body="B"))[1]
    seen: list[str] = []

    def text_was_called_message(payload: dict[str, Any]) -> dict[str, Any]:
        seen.append("1 to 2")
        return {**payload, "text": payload.pop("message")}

    def text_is_called_body(payload: dict[str, Any]) -> dict[str, Any]:
        seen.append("2 to 3")
        return {**payload, "body": payload.pop("text")}

    monkeypatch.setitem(codec.UPCASTERS, "UpdatePosted/1", text_was_called_message)
    monkeypatch.setitem(codec.UPCASTERS, "UpdatePosted/2", text_is_called_body)
    monkeypatch.setitem(codec._TOPICS, e.UpdatePosted, "UpdatePosted/3")
    monkeypatch.setitem(codec._DECODERS, "UpdatePosted/3", codec._DECODERS["UpdatePosted/1"])
    monkeypatch.delitem(codec._DECODERS, "UpdatePosted/1")
    event = e.UpdatePosted(**meta(), body="B")
    payload = json.loads(at_version_3)
    payload["message"] = payload.pop("body")
    assert codec.decode("UpdatePosted/1", json.dumps(payload).encode()) == event
    payload["text"] = payload.pop("message")
    assert codec.decode("UpdatePosted/2", json.dumps(payload).encode()) == event
    assert codec.decode("UpdatePosted/3", at_version_3) == event
    assert seen == ["1 to 2", "2 to 3", "2 to 3"]
    assert codec.encode(event) == ("UpdatePosted/3", at_version_3)
    with pytest.raises(codec.UnknownEvent):
        codec.decode("UpdatePosted/4", at_version_3)
