"""For each read model: which events give which row, through the real tables."""

import json
from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from given import ALICE, BOB, CAROL, OTHER, PROMETHEUS, STEP, at, meta, triggered

from domain import events as e
from domain.incident import Incident, fold
from projections.timeline import tell

PERSON = UUID(int=0xDA)
OPENED = {
    "number": 7, "title": "Checkout is down", "description": "Carts", "severity": "high", "category": "bug",
    "response_target_s": 3600, "labels": {"région": "é\t\\N"}, "source": "grafana", "dedup_key": "k",
    "team": "shop", "maintenance": "Upgrade", "alerts": (e.AlertSeen(fingerprint="f", summary="F", count=2),),
}  # fmt: skip
FRESH = {
    **{k: v for k, v in OPENED.items() if k != "alerts"},
    "status": "triggered", "assignee": None, "source_id": PROMETHEUS.id, "triggered_at": at(0),
    "acknowledged_at": None, "investigating_at": None,
    "first_resolved_at": None, "resolved_at": None, "reopen_count": 0, "alert_count": 2,
    "merged_into": None, "status_by": PROMETHEUS.model_dump(mode="json"), "status_at": at(0), "version": 1,
    "severity_rank": 2, "team_rule": None, "team_by_hand": True, "lead_by_hand": False,
}  # fmt: skip


def by(actor: e.Actor, minutes: float) -> dict[str, Any]:
    return {"status_by": actor.model_dump(mode="json"), "status_at": at(minutes)}


ACKNOWLEDGED = e.IncidentAcknowledged(**meta(5, BOB))
RESOLVED = e.IncidentResolved(**meta(20, CAROL))

CASES: dict[str, tuple[tuple[e.IncidentEvent, ...], dict[str, Any]]] = {
    "IncidentTriggered": ((), {}),
    "IncidentAcknowledged": (
        (ACKNOWLEDGED,), {"status": "acknowledged", "acknowledged_at": at(5), **by(BOB, 5)}
    ),
    "InvestigationStarted": (
        (e.InvestigationStarted(**meta(6, BOB)),),
        {"status": "investigating", "acknowledged_at": at(6), "investigating_at": at(6), **by(BOB, 6)},
    ),
    "UpdatePosted": ((e.UpdatePosted(**meta(6), body="B"),), {}),
    "ResponderAssigned": (
        (e.ResponderAssigned(**meta(6), person_id=PERSON),), {"assignee": PERSON, "lead_by_hand": True}
    ),
    "ResponderAssigned to nobody": (
        (e.ResponderAssigned(**meta(6), person_id=PERSON), e.ResponderAssigned(**meta(7))), {}
    ),
    "TeamAssigned": ((e.TeamAssigned(**meta(6)),), {"team": None, "team_by_hand": False}),
    "TeamAssigned by a rule": (
        (e.TeamAssigned(**meta(6), team="data", because="R", rule=OTHER),),
        {"team": "data", "team_rule": OTHER, "team_by_hand": False},
    ),
    "SeverityChanged": (
        (e.SeverityChanged(**meta(6), severity="critical", previous="high", response_target_s=300),),
        {"severity": "critical", "response_target_s": 300, "severity_rank": 1},
    ),
    "CategoryChanged": ((e.CategoryChanged(**meta(6), previous="bug"),), {"category": None}),
    "AlertReceived": (
        (e.AlertReceived(**meta(6), count=40, first_at=at(5), last_at=at(6)),), {"alert_count": 42}
    ),
    "IncidentEscalated": ((e.IncidentEscalated(**meta(6), step=1),), {}),
    "MaintenanceEnded": ((e.MaintenanceEnded(**meta(6), window="W", severity="high"),), {}),
    "ResponseTargetMissed": ((e.ResponseTargetMissed(**meta(6), response_target_s=300),), {}),
    "IncidentResolved": (
        (RESOLVED,),
        {"status": "resolved", "first_resolved_at": at(20), "resolved_at": at(20), **by(CAROL, 20)},
    ),
    "IncidentReopened": (
        (RESOLVED, e.IncidentReopened(**meta(25, ALICE), reason="R")),
        {"status": "investigating", "first_resolved_at": at(20), "investigating_at": at(25), "reopen_count": 1,
         **by(ALICE, 25)},
    ),
    "IncidentMerged": (
        (e.IncidentMerged(**meta(15, BOB), into=OTHER, into_number=8),),
        {"status": "resolved", "first_resolved_at": at(15), "resolved_at": at(15), "merged_into": OTHER,
         **by(BOB, 15)},
    ),
    "IncidentAbsorbed": (
        (e.IncidentAbsorbed(**meta(6), merged_id=OTHER, merged_number=8, alert_count=5),), {"alert_count": 7}
    ),
    "DetailsCorrected": (
        (ACKNOWLEDGED, RESOLVED,
         e.DetailsCorrected(**meta(30), title="T", description="", labels={}, triggered_at=at(-1),
                            acknowledged_at=at(1), resolved_at=at(19))),
        {"title": "T", "description": "", "labels": {}, "triggered_at": at(-1), "acknowledged_at": at(1),
         "first_resolved_at": at(19), "resolved_at": at(19), "status": "resolved", **by(CAROL, 20)},
    ),
    "PostmortemStarted": (
        (RESOLVED, e.PostmortemStarted(**meta(30, BOB))),
        {"status": "postmortem", "first_resolved_at": at(20), "resolved_at": at(20), **by(BOB, 30)},
    ),
    "AlertSent": ((e.AlertSent(**meta(1), **STEP),), {}),
    "AlertDelivered": ((e.AlertDelivered(**meta(1), **STEP),), {}),
    "AlertRead": ((e.AlertRead(**meta(1), **STEP),), {}),
    "AlertFailed": ((e.AlertFailed(**meta(1), **STEP, reason="R"),), {}),
}  # fmt: skip


def given(world: Any, events: tuple[e.IncidentEvent, ...], *, one_by_one: bool) -> tuple[UUID, UUID]:
    """An incident of these events in an organisation of its own, shown in the read models."""
    id, organization = uuid4(), uuid4()
    whole = [event.model_copy(update={"organization_id": organization})
             for event in (triggered(0, PROMETHEUS, **OPENED), *events)]  # fmt: skip
    for version, event in enumerate(whole, start=1):
        world.record([(id, version, event)])
        if one_by_one:
            world.catch_up()
    world.catch_up()
    return id, organization


def row(world: Any, table: str, key: str, id: UUID) -> dict[str, Any]:
    (found,) = world.rows(f"select to_jsonb(t) from read.{table} t where {key} = %s", id)
    return dict(found[0])


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda v: v.isoformat() if hasattr(v, "isoformat") else str(v)))


@pytest.mark.parametrize("one_by_one", [False, True], ids=["at once", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_events_give_this_row_of_incidents(shared_world: Any, name: str, one_by_one: bool) -> None:
    events, changed = CASES[name]
    id, organization = given(shared_world, events, one_by_one=one_by_one)
    expected = {**FRESH, "id": id, "organization_id": organization, "version": len(events) + 1, **changed}
    found = row(shared_world, "incidents", "id", id)
    assert found.pop("search")
    assert found.pop("position") == shared_world.ledger.head()
    assert found == as_json(expected)


@pytest.mark.parametrize("one_by_one", [False, True], ids=["at once", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_events_give_this_row_of_facts(shared_world: Any, name: str, one_by_one: bool) -> None:
    events, changed = CASES[name]
    id, organization = given(shared_world, events, one_by_one=one_by_one)
    known = {**FRESH, **changed}
    found = row(shared_world, "facts", "incident_id", id)
    spans = [found.pop(column) for column in ("tta_s", "ttr_s", "ttr_first_s")]
    ends = [known[column] for column in ("acknowledged_at", "resolved_at", "first_resolved_at")]
    assert spans == [None if end is None else (end - known["triggered_at"]) / timedelta(seconds=1) for end in ends]
    assert found.pop("position") == shared_world.ledger.head()
    columns = ("triggered_at", "severity", "category", "team", "assignee", "labels", "status", "acknowledged_at",
               "first_resolved_at", "resolved_at", "reopen_count", "merged_into", "response_target_s")  # fmt: skip
    expected = {column: known[column] for column in columns}
    assert found == as_json({**expected, "incident_id": id, "organization_id": organization})


def test_every_type_of_event_has_its_row() -> None:
    assert {name.partition(" ")[0] for name in CASES} == {kind.__name__ for kind in e.IncidentEvent.__args__}


TOLD: dict[str, tuple[e.IncidentEvent, tuple[Any, ...]]] = {
    "triggered": (
        triggered(0, **OPENED), ("Triggered as high, expected during maintenance “Upgrade”", "Carts", None)
    ),
    "triggered without words": (triggered(0), ("Triggered as high", None, None)),
    "acknowledged": (e.IncidentAcknowledged(**meta(1), note="N"), ("Acknowledged", "N", None)),
    "investigating": (e.InvestigationStarted(**meta(1)), ("Investigation started", None, None)),
    "update": (e.UpdatePosted(**meta(1), body="a\n\\b\t"), ("Update posted", "a\n\\b\t", None)),
    "lead": (e.ResponderAssigned(**meta(1), person_id=PERSON), ("Assigned to {person}", None, PERSON)),
    "no lead": (e.ResponderAssigned(**meta(1)), ("Lead taken away", None, None)),
    "team": (e.TeamAssigned(**meta(1), team="shop"), ("Owned by shop", None, None)),
    "no team": (e.TeamAssigned(**meta(1)), ("No team owns it any more", None, None)),
    "severity": (
        e.SeverityChanged(**meta(1), severity="low", previous="high", response_target_s=1, reason="R"),
        ("Severity changed from high to low", "R", None),
    ),
    "category": (
        e.CategoryChanged(**meta(1), category="bug"), ("Category changed from unclassified to bug", None, None)
    ),
    "no category": (
        e.CategoryChanged(**meta(1), previous="bug"), ("Category changed from bug to unclassified", None, None)
    ),
    "alert": (
        e.AlertReceived(**meta(1), count=1, first_at=at(0), last_at=at(1)),
        ("1 further alert received", None, None),
    ),
    "alerts": (
        e.AlertReceived(**meta(1), count=3, first_at=at(0), last_at=at(1), alerts=(
            e.AlertSeen(fingerprint="a", summary="A"), e.AlertSeen(fingerprint="b", summary="B", count=2))),
        ("3 further alerts received", "A\nB", None),
    ),
    "escalated": (e.IncidentEscalated(**meta(1), step=2, reason="R"), ("Escalated to step 2", "R", None)),
    "escalated to one": (
        e.IncidentEscalated(**meta(1), step=1, people=(OTHER,)), ("Escalated to step 1: {person}", None, OTHER)
    ),
    "escalated to two": (
        e.IncidentEscalated(**meta(1), step=1, people=(OTHER, ALICE.id)),
        ("Escalated to step 1: 2 people", None, None),
    ),
    "escalated to everybody": (
        e.IncidentEscalated(**meta(1), step=3, people=(), everybody=True),
        ("Escalated to step 3: everybody", None, None),
    ),
    "maintenance over": (
        e.MaintenanceEnded(**meta(1), window="W", severity="high"),
        ("Maintenance “W” is over, and nobody has taken this on", None, None),
    ),
    "target missed": (
        e.ResponseTargetMissed(**meta(1), response_target_s=300),
        ("Nobody acknowledged within 5 minutes", None, None),
    ),
    "target of an hour": (
        e.ResponseTargetMissed(**meta(1), response_target_s=3600),
        ("Nobody acknowledged within 1 hour", None, None),
    ),
    "resolved": (e.IncidentResolved(**meta(1), note="N"), ("Resolved", "N", None)),
    "reopened": (e.IncidentReopened(**meta(1), reason="R"), ("Reopened", "R", None)),
    "merged": (e.IncidentMerged(**meta(1), into=OTHER, into_number=8), ("Merged into INC-8", None, None)),
    "absorbed": (
        e.IncidentAbsorbed(**meta(1), merged_id=OTHER, merged_number=8, alert_count=0),
        ("INC-8 was merged into this", None, None),
    ),
    "corrected": (
        e.DetailsCorrected(**meta(1), title="T", labels={}, resolved_at=at(0), reason="R"),
        ("Corrected: title, labels, resolved", "R", None),
    ),
    "postmortem": (e.PostmortemStarted(**meta(1)), ("Postmortem started", None, None)),
    "sent": (
        e.AlertSent(**meta(1), **STEP), ("Alert sent to {person} on WhatsApp", None, STEP["recipient_id"])
    ),
    "delivered": (
        e.AlertDelivered(**meta(1), **STEP),
        ("Alert delivered to {person} on WhatsApp", None, STEP["recipient_id"]),
    ),
    "read": (e.AlertRead(**meta(1), **STEP), ("Alert read by {person} on WhatsApp", None, STEP["recipient_id"])),
    "not reached": (
        e.AlertFailed(**meta(1), **STEP, reason="R"),
        ("{person} was not reached on WhatsApp", "R", STEP["recipient_id"]),
    ),
    "not reached by mail": (
        e.AlertFailed(**meta(1), **{**STEP, "channel": "mailto"}, reason="R"),
        ("{person} was not reached by mailto", "R", STEP["recipient_id"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_an_event_gives_this_row_of_the_timeline(shared_world: Any, name: str) -> None:
    event, told = TOLD[name]
    assert tell(event) == told
    id, organization = uuid4(), uuid4()
    event = event.model_copy(update={"organization_id": organization, "actor": BOB})
    places = [(id, 1, event)] if name.startswith("triggered") else [
        (id, 1, triggered().model_copy(update={"organization_id": organization})), (id, 2, event)
    ]  # fmt: skip
    shared_world.record(places)
    shared_world.catch_up()
    query = (
        "select position, type, occurred_at, recorded_at, actor_kind, actor_id, organization_id, summary, body,"
        " person_id from read.timeline where incident_id = %s order by position"
    )
    found = shared_world.rows(query, id)
    assert len(found) == len(places)
    entry = shared_world.ledger.load([id]).streams[id][-1]
    assert found[-1][:4] == (entry.position, type(event).__name__, event.occurred_at, entry.recorded_at)
    assert found[-1][4:] == ("person", BOB.id, organization, *told)


def test_every_type_of_event_is_told() -> None:
    assert {type(event) for event, _ in TOLD.values()} == set(e.IncidentEvent.__args__)


def test_the_row_of_an_incident_is_its_folded_stream(shared_world: Any) -> None:
    events, _ = CASES["DetailsCorrected"]
    id, _ = given(shared_world, events, one_by_one=True)
    folded = fold(id, [entry.event for entry in shared_world.ledger.load([id]).streams[id]])
    found = row(shared_world, "incidents", "id", id)
    for field in fields(Incident):
        value = getattr(folded, field.name)
        assert found[field.name] == as_json(value.model_dump(mode="json") if field.name == "status_by" else value)
