"""What the callback hears: statuses in order, taps and replies, signed over the raw body, at least once."""

import json

from metatools import NUMBER_ID, PERSON, Callback, Running, alert, buttons, is_signed, text
from running import until


def test_a_message_is_taken_and_its_statuses_come_in_order(sandbox: Running, callback: Callback) -> None:
    answer = sandbox.send(alert(to="+" + PERSON, biz_opaque_callback_data="delivery-1"))
    wamid = answer.json()["messages"][0]["id"]
    until(lambda: callback.statuses(wamid) == ["sent", "delivered", "read"], what="the statuses")

    assert answer.json() == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+" + PERSON, "wa_id": PERSON}],
        "messages": [{"id": wamid, "message_status": "accepted"}],
    }
    first = callback.taken[0]
    assert first["object"] == "whatsapp_business_account"
    assert first["entry"][0]["changes"][0]["field"] == "messages"
    value = callback.values("statuses")[0]
    assert value["metadata"] == {"display_phone_number": "15550100042", "phone_number_id": NUMBER_ID}
    (contact,) = value["contacts"]
    assert (contact["wa_id"], set(contact)) == (PERSON, {"profile", "wa_id", "user_id"})
    (status,) = value["statuses"]
    assert status == {
        "id": wamid,
        "status": "sent",
        "timestamp": "1700000000",
        "recipient_id": PERSON,
        "recipient_user_id": contact["user_id"],
        "biz_opaque_callback_data": "delivery-1",
        "pricing": {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"},
    }
    assert "pricing" not in callback.values("statuses")[2]["statuses"][0]
    (item,) = sandbox.messages()
    assert item["buttons"][0] == {
        "kind": "quick_reply",
        "title": "Acknowledge",
        "payload": "ack:INC-12",
        "url": "",
    }
    assert item["buttons"][1]["url"] == "https://fandesk.test/incidents/INC-12"
    assert (item["to"], item["template"], item["status"]) == (PERSON, "incident_alert", "read")
    assert item["parameters"][:2] == ["CRITICAL", "INC-12"]
    assert (item["biz_opaque_callback_data"], item["received_at"]) == ("delivery-1", "2023-11-14T22:13:20.250000Z")


def test_older_versions_tell_the_conversation(sandbox: Running, callback: Callback) -> None:
    wamid = sandbox.sent(alert(), version="v23.0")
    until(lambda: callback.statuses(wamid) == ["sent", "delivered", "read"])

    sent, delivered, read = (value["statuses"][0] for value in callback.values("statuses"))
    assert sent["conversation"]["expiration_timestamp"] == str(1_700_000_000 + 24 * 3600)
    assert set(delivered["conversation"]) == {"id", "origin"}
    assert "conversation" not in read


def test_the_signature_is_over_the_very_bytes(sandbox: Running, callback: Callback) -> None:
    sandbox.reply("Größe https://fandesk.test/x")
    until(lambda: callback.raw)

    headers, raw = callback.raw[0]
    assert is_signed(headers, raw)
    assert not is_signed(headers, json.dumps(json.loads(raw), ensure_ascii=False).encode())
    assert b"Gr\\u00f6\\u00dfe https:\\/\\/fandesk.test\\/x" in raw


def test_a_callback_that_fails_hears_it_again_in_order(sandbox: Running, callback: Callback) -> None:
    callback.answers = [500, 503, 401]
    wamid = sandbox.sent(alert())
    until(lambda: callback.statuses(wamid) == ["sent", "delivered", "read"])

    assert len({raw for _, raw in callback.raw[:4]}) == 1
    assert all(is_signed(headers, raw) for headers, raw in callback.raw)


def test_attempts_are_bounded(sandbox: Running, callback: Callback) -> None:
    callback.answers = [500] * 6
    wamid = sandbox.sent(alert())
    until(lambda: callback.statuses(wamid) == ["delivered", "read"])

    assert len(callback.raw) == 6 + 2


def test_a_tap_on_a_template(sandbox: Running, callback: Callback) -> None:
    wamid = sandbox.sent(alert())
    closed = sandbox.send(text())
    answer = sandbox.tap(wamid, "Acknowledge")
    until(lambda: callback.values("messages"))

    (value,) = callback.values("messages")
    user_id = value["contacts"][0]["user_id"]
    assert value["contacts"] == [{"profile": {"name": "Phone 5678"}, "wa_id": PERSON, "user_id": user_id}]
    assert value["messages"] == [
        {
            "from": PERSON,
            "id": answer.json()["wamid"],
            "timestamp": "1700000000",
            "from_user_id": user_id,
            "context": {"from": "15550100042", "id": wamid},
            "type": "button",
            "button": {"payload": "ack:INC-12", "text": "Acknowledge"},
        }
    ]
    assert (closed.status_code, sandbox.send(text()).status_code) == (400, 200)


def test_a_tap_on_a_session_message(sandbox: Running, callback: Callback) -> None:
    sandbox.reply(person=PERSON)
    wamid = sandbox.sent(buttons("Acknowledge", "Resolve"), number="100000000000001")
    sandbox.tap(wamid, "resolve").raise_for_status()
    until(lambda: len(callback.values("messages")) == 2)

    tapped = callback.values("messages")[1]["messages"][0]
    assert tapped["type"] == "interactive"
    assert tapped["interactive"] == {"type": "button_reply", "button_reply": {"id": "resolve", "title": "Resolve"}}
    assert tapped["context"]["id"] == wamid


def test_a_template_button_without_a_payload_says_its_title(sandbox: Running, callback: Callback) -> None:
    message = alert()
    del message["template"]["components"][1]
    sandbox.tap(sandbox.sent(message), "0").raise_for_status()
    until(lambda: callback.values("messages"))

    assert callback.values("messages")[0]["messages"][0]["button"]["payload"] == "Acknowledge"


def test_a_reply(sandbox: Running, callback: Callback) -> None:
    wamid = sandbox.reply("ack INC-12", "+" + PERSON)
    until(lambda: callback.values("messages"))

    said = callback.values("messages")[0]["messages"][0]
    assert (said["type"], said["text"], said["from"], said["id"]) == (
        "text",
        {"body": "ack INC-12"},
        PERSON,
        wamid,
    )
    assert "context" not in said


def test_taps_and_replies_that_cannot_be(sandbox: Running) -> None:
    wamid = sandbox.sent(alert())

    assert sandbox.tap("wamid.none", "Acknowledge").status_code == 404
    assert sandbox.tap(wamid, "Dance").status_code == 422
    assert sandbox.tap(wamid, "Open").status_code == 409
    for wrong in (
        {},
        {"from": "me", "text": "a"},
        {"from": PERSON, "text": ""},
        {"from": PERSON, "text": "a", "x": 1},
    ):
        assert sandbox.http.post("/_sandbox/reply", json=wrong).status_code == 422


def test_without_contacts_and_without_user_id(sandbox: Running, callback: Callback) -> None:
    sandbox.behave(statuses="without_contacts")
    first = sandbox.sent(alert())
    sandbox.tap(first, "Acknowledge")
    until(lambda: callback.statuses(first)[-1:] == ["read"] and callback.values("messages"))
    bare = [*callback.values("statuses"), *callback.values("messages")]
    sandbox.behave(statuses="without_user_id")
    second = sandbox.sent(alert())
    sandbox.tap(second, "Acknowledge")
    until(lambda: callback.statuses(second)[-1:] == ["read"] and len(callback.values("messages")) == 2)

    assert not any("contacts" in value for value in bare)
    assert set(callback.values("messages")[1]["contacts"][0]) == {"profile", "wa_id"}
    assert "from_user_id" not in callback.values("messages")[1]["messages"][0]


def test_the_challenge_is_made_and_its_result_said(sandbox: Running, callback: Callback) -> None:
    until(lambda: sandbox.said)

    assert callback.challenged
    assert sandbox.said == [f"{callback.url} passed the challenge"]
