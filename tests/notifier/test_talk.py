"""What people on WhatsApp say is understood, or they are told how to say it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotAllowedNow
from domain.events import Actor
from workers.notifier import talk
from workers.notifier.talk import Wish, understood

ID = UUID(int=0x12)
ALICE, BOB = UUID(int=0xA), UUID(int=0xB)


def text(body: Any) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body}}


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("ack INC-12", Wish("ack", 12)),
        ("Ack inc-12", Wish("ack", 12)),
        (" /ACK inc 12 ", Wish("ack", 12)),
        ("ack #12", Wish("ack", 12)),
        ("ack 12", Wish("ack", 12)),
        ("ack: INC12", Wish("ack", 12)),
        ("acknowledge INC-12 I am on it", Wish("ack", 12, "I am on it")),
        ("resolve INC-12 the cache was full", Wish("resolve", 12, "the cache was full")),
        ("resolve INC-12: the cache\nwas full", Wish("resolve", 12, "the cache\nwas full")),
        ("Resolved INC-12", Wish("resolve", 12)),
        ("work INC-3", Wish("work", 3)),
        ("investigate 3", Wish("work", 3)),
        ("ack", Wish("ack", None)),
        ("resolve the cache was full", Wish("resolve", None, "the cache was full")),
        ("resolve 5 nodes were restarted", Wish("resolve", None, "5 nodes were restarted")),
        ("status", "status"),
        ("Status ", "status"),
        ("STOP", "stop"),
        ("start", "start"),
        ("stop it from happening again", "help"),
        ("thanks!", "help"),
        ("", "help"),
        ("👍", "help"),
        ("acknowledging is hard", "help"),
    ],
)
def test_texts(said: str, wish: talk.Said) -> None:
    assert understood(text(said)) == wish


@pytest.mark.parametrize(
    ("message", "wish"),
    [
        ({"type": "button", "button": {"payload": f"ack:{ID}", "text": "Acknowledge"}}, Wish("ack", ID)),
        ({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": f"resolve:{ID}"}}},
         Wish("resolve", ID)),
        ({"type": "button", "button": {"payload": "ack:INC-12"}}, None),
        ({"type": "button", "button": {"payload": "ack:" + "-" * 36}}, None),
        ({"type": "button", "button": {"payload": 7}}, None),
        ({"type": "button"}, None),
        ({"type": "interactive", "interactive": {"list_reply": {"id": f"ack:{ID}"}}}, None),
        ({"type": "image", "image": {"id": "1"}}, None),
        ({"type": ["text"]}, None),
        ({}, None),
        (text(None), None),
        ({"type": "text", "text": "ack INC-12"}, None),
    ],
)  # fmt: skip
def test_taps_of_both_forms_and_odd_things(message: dict[str, Any], wish: talk.Said | None) -> None:
    assert understood(message) == wish


@given(st.text())
def test_any_text_is_understood_somehow(said: str) -> None:
    assert understood(text(said)) is not None


def late(status: Any, by: Actor) -> NotAllowedNow:
    at = datetime(2026, 3, 2, 3, 12, 5, tzinfo=UTC)
    return NotAllowedNow("no", incident_id=ID, number=12, status=status, acted_by=by, acted_at=at)


@pytest.mark.parametrize(
    ("verb", "status", "by", "name", "answer"),
    [
        ("ack", "acknowledged", ALICE, "A", "You have already acknowledged INC-12, at 03:12:05 UTC on 02 Mar."),
        ("ack", "acknowledged", BOB, "Bob", "Bob has already acknowledged INC-12, at 03:12:05 UTC on 02 Mar."),
        ("ack", "investigating", BOB, "Bob",
         "Bob has already begun to investigate INC-12, at 03:12:05 UTC on 02 Mar."),
        ("ack", "resolved", BOB, None, "Somebody has already resolved INC-12, at 03:12:05 UTC on 02 Mar."),
        ("resolve", "resolved", ALICE, "Alice", "You have already resolved INC-12, at 03:12:05 UTC on 02 Mar."),
        ("work", "investigating", BOB, "Bob",
         "Bob has already begun to investigate INC-12, at 03:12:05 UTC on 02 Mar."),
    ],
)  # fmt: skip
def test_who_comes_too_late_is_told_who_was_faster(
    verb: talk.Verb, status: str, by: UUID, name: str | None, answer: str
) -> None:
    refusal = late(status, Actor(kind="person", id=by))
    assert talk.refused(Wish(verb, ID), refusal, ALICE, name).text == answer


def test_the_overview_offers_to_acknowledge_what_nobody_has() -> None:
    rows = [(UUID(int=n), n, "critical", "acknowledged" if n == 1 else "triggered", f"T{n}") for n in range(1, 6)]
    reply = talk.overview(rows, 3)
    assert reply.text.splitlines()[0] == "CRITICAL INC-1 acknowledged: T1"
    assert reply.text.splitlines()[-1] == "and 3 more"
    assert reply.buttons == tuple((f"ack:{UUID(int=n)}", f"Ack INC-{n}") for n in (2, 3, 4))
    assert talk.overview([], 0).text == "Nothing is open."
