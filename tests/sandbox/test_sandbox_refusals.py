"""Everything Meta refuses, with its HTTP status, code and body."""

import copy
from typing import Any

import pytest
from metatools import NUMBER_ID, PERSON, Running, alert, buttons, quick_reply, text

BODY = "['components'][0]['parameters'][0]"


def without(*path: Any) -> dict[str, Any]:
    return changed(path, None, drop=True)


def changed(path: tuple[Any, ...], value: Any, *, drop: bool = False) -> dict[str, Any]:
    body = copy.deepcopy(alert())
    at: Any = body
    for step in path[:-1]:
        at = at[step]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return body


def body_text(value: Any) -> dict[str, Any]:
    return changed(("template", "components", 0, "parameters", 0, "text"), value)


def components(*given: Any) -> dict[str, Any]:
    return changed(("template", "components"), [*alert()["template"]["components"][:1], *given])


URL = alert()["template"]["components"][2]
NEW_LINE = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"

REFUSED: list[tuple[str, Any, int, int, str]] = [
    ("no messaging_product", without("messaging_product"), 400, 100, "messaging_product is required"),
    ("other product", alert(messaging_product="sms"), 400, 100, "{WHATSAPP}"),
    ("no to", without("to"), 400, 100, "The parameter to is required."),
    ("to is a number", alert(to=4915112345678), 400, 100, "Param to must be a string."),
    ("letters in to", alert(to="+49abc"), 400, 131009, "country code"),
    ("00 before the country", alert(to="004915112345678"), 400, 131009, "country code"),
    ("too short", alert(to="+4912"), 400, 131009, "country code"),
    ("to itself", alert(to="15550100042"), 400, 131021, "sends"),
    ("to a group", alert(recipient_type="group"), 400, 100, "recipient_type"),
    ("unknown type", text(type="fax"), 400, 100, "must be one of"),
    ("misspelt field", alert(biz_opaque="1"), 400, 100, 'Unexpected key "biz_opaque"'),
    ("long callback data", alert(biz_opaque_callback_data="x" * 513), 400, 100, "biz_opaque_callback_data"),
    ("not an object", [], 400, 100, "JSON object"),
    ("no template", without("template"), 400, 100, "The parameter template is required."),
    ("no name", without("template", "name"), 400, 100, "template['name'] is required"),
    ("no language", without("template", "language"), 400, 100, "template['language'] is required"),
    ("no code", changed(("template", "language"), {}), 400, 100, "template['language']['code'] is required"),
    ("unknown name", changed(("template", "name"), "x"), 404, 132001, "template name (x) does not exist in en_US"),
    ("other language", changed(("template", "language"), {"code": "de"}), 404, 132001, "does not exist in de"),
    ("misspelt in template", changed(("template", "component"), []), 400, 100, 'Unexpected key "component"'),
    (
        "a parameter too few",
        without("template", "components", 0, "parameters", 3),
        400,
        132000,
        "body: number of localizable_params (3) does not match the expected number of params (4)",
    ),
    ("no components", without("template", "components"), 400, 132000, "localizable_params (0)"),
    (
        "a header the template has not",
        components(quick_reply("a"), URL, {"type": "header", "parameters": [{"type": "text", "text": "x"}]}),
        400,
        132000,
        "header: number of localizable_params (1)",
    ),
    ("empty parameter", body_text(""), 400, 131008, "missing text value"),
    ("blank parameter", body_text("  "), 400, 131008, "missing text value"),
    ("null parameter", body_text(None), 400, 131008, "missing text value"),
    ("number for a text", body_text(12), 400, 100, f"template{BODY}['text'] must be a string"),
    ("new line", body_text("a\nb"), 400, 132018, NEW_LINE),
    ("carriage return", body_text("a\rb"), 400, 132018, NEW_LINE),
    ("tab", body_text("a\tb"), 400, 132018, NEW_LINE),
    ("five spaces", body_text("a     b"), 400, 132018, NEW_LINE),
    ("too long", body_text("x" * 1100), 400, 132005, "1024"),
    (
        "not a text",
        changed(("template", "components", 0, "parameters", 0), {"type": "payload", "text": "x"}),
        400,
        132012,
        "of type text",
    ),
    ("no link", components(quick_reply("a")), 400, 131008, "Button at index 1 of type Url requires a parameter"),
    ("empty link", components({**URL, "parameters": []}), 400, 131008, "index 1 of type Url requires a parameter"),
    (
        "link at the wrong place",
        components({**URL, "index": "0"}),
        400,
        132018,
        "index 0 must be of type QuickReply",
    ),
    ("reply at the link", components(quick_reply("a", "1")), 400, 132018, "index 1 must be of type Url"),
    ("no such button", components(quick_reply("a", "2"), URL), 400, 132018, "no button at index 2"),
    ("no index", components(quick_reply("a", None), URL), 400, 131008, "index"),
    ("button twice", components(quick_reply("a"), quick_reply("b"), URL), 400, 132018, "twice"),
    ("empty payload", components(quick_reply(""), URL), 400, 131008, "payload"),
    ("unknown component", components({"type": "carousel"}), 400, 100, "carousel"),
    ("no text", text(text={}), 400, 100, "The parameter text['body'] is required."),
    ("misspelt in text", text(text={"body": "a", "preview": True}), 400, 100, 'Unexpected key "preview"'),
    ("long text", text("x" * 4097), 400, 100, "4096"),
    ("no button", buttons(), 400, 131009, "Min allowed buttons: 1, Max allowed buttons: 3"),
    ("four buttons", buttons("A", "B", "C", "D"), 400, 131009, "Min allowed buttons: 1, Max allowed buttons: 3"),
    ("long title", buttons("x" * 21), 400, 131009, "Button title length invalid. Min length: 1, Max length: 20"),
    ("same title", buttons("A", "A"), 400, 131009, "same"),
    ("long body", buttons("A", body="x" * 1025), 400, 131009, "Body text length invalid"),
    ("closed window, text", text(), 400, 131047, "24 hours"),
    ("closed window, buttons", buttons("A"), 400, 131047, "24 hours"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused_as_meta_refuses(strict: Running, body: Any, status: int, code: int, said: str) -> None:
    answer = strict.send(body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, code, "OAuthException")
    assert error["message"].startswith(f"(#{code}) ")
    assert said in error["message"] or said in error["error_data"]["details"]
    assert error.get("error_data", {"messaging_product": "whatsapp"})["messaging_product"] == "whatsapp"
    assert len(error["fbtrace_id"]) == 23
    assert strict.messages() == []
    assert [refusal["code"] for refusal in strict.http.get("/_sandbox/refusals").json()["items"]] == [code]


def test_long_ids_of_buttons(strict: Running) -> None:
    message = buttons("A")
    message["interactive"]["action"]["buttons"][0]["reply"]["id"] = "x" * 257

    assert strict.send(message).json()["error"]["code"] == 131009


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"Authorization": "Bearer"}], ids=str)
def test_without_a_token(strict: Running, headers: dict[str, str]) -> None:
    answer = strict.send(alert(), headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, 190)
    assert "error_data" not in answer.json()["error"]


def test_not_json_and_not_there(strict: Running) -> None:
    headers = {"Authorization": "Bearer EAAG"}
    garbage = strict.http.post(f"/v24.0/{NUMBER_ID}/messages", content=b"{", headers=headers)
    no_number = strict.send(alert(), number="my-number")
    no_version = strict.send(alert(), version="latest")
    elsewhere = strict.http.post("/v24.0/media", headers=headers)

    assert (garbage.status_code, garbage.json()["error"]["code"]) == (400, 100)
    assert (no_number.status_code, no_number.json()["error"]["error_subcode"]) == (400, 33)
    assert no_number.json()["error"]["type"] == "GraphMethodException"
    assert (no_version.status_code, no_version.json()["error"]["code"]) == (400, 2500)
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (400, 2500)


def test_a_pair_may_borrow_45_messages_and_pays_for_them(sandbox: Running) -> None:
    first = [sandbox.send(alert()).status_code for _ in range(45)]
    over = sandbox.send(alert())
    sandbox.clock.now += 45 * 6 - 1
    too_early = sandbox.send(alert())
    other = sandbox.send(alert(to="+14155550100"))
    sandbox.clock.now += 1
    paid = sandbox.send(alert())

    assert first == [200] * 45
    assert (over.status_code, over.json()["error"]["code"]) == (400, 131056)
    assert over.json()["error"]["message"] == "(#131056) (Business Account, Consumer Account) pair rate limit hit"
    assert too_early.json()["error"]["code"] == 131056
    assert (other.status_code, paid.status_code) == (200, 200)


def test_a_pair_may_always_have_one_message_in_six_seconds(sandbox: Running) -> None:
    for _ in range(20):
        assert sandbox.send(alert()).status_code == 200
        sandbox.clock.now += 6


def test_a_number_has_80_messages_a_second(sandbox: Running) -> None:
    first = [sandbox.send(alert(to=f"+1415555{n:04}")).status_code for n in range(80)]
    over = sandbox.send(alert(to="+14155559999"))
    other_number = sandbox.send(alert(to="+14155559999"), number="2")
    sandbox.clock.now += 1
    later = sandbox.send(alert(to="+14155559999"))

    assert first == [200] * 80
    assert (over.status_code, over.json()["error"]["code"]) == (400, 130429)
    assert (other_number.status_code, later.status_code) == (200, 200)


def test_the_window_is_open_for_24_hours_after_the_person_wrote(sandbox: Running) -> None:
    sandbox.sent(alert())
    sandbox.reply("status")
    at_once = sandbox.send(text())
    sandbox.clock.now += 24 * 3600 - 1
    just = sandbox.send(buttons("Resolve"))
    sandbox.clock.now += 1
    closed = sandbox.send(text())
    template = sandbox.send(alert())

    assert (at_once.status_code, just.status_code, template.status_code) == (200, 200, 200)
    assert "message_status" not in at_once.json()["messages"][0]
    assert (closed.status_code, closed.json()["error"]["code"]) == (400, 131047)


def test_a_window_is_one_numbers_and_one_persons(sandbox: Running) -> None:
    sandbox.reply(person=PERSON)

    assert sandbox.send(text(), number="100000000000001").status_code == 200
    assert sandbox.send(text(), number="2").status_code == 400
    assert sandbox.send(text(to="+14155550100"), number="100000000000001").status_code == 400
