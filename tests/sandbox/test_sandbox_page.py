"""The phone in plain HTML: forms alone are enough, and nothing foreign runs."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from metatools import PERSON, Callback, Running, alert, text
from running import until

from workers.sandbox.chats import Chats, Inbound, Message
from workers.sandbox.outgoing import Outgoing


class Forms(HTMLParser):
    """The forms of a page: where they go, and the fields already filled."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            assert given["method"] == "post"
            self.forms.append((str(given["action"]), {}))
        elif tag == "input" and "value" in given:
            self.forms[-1][1][str(given["name"])] = str(given["value"])


def test_tap_and_reply_by_forms(sandbox: Running, callback: Callback) -> None:
    sandbox.sent(alert())
    (tap, tapped), (reply, said) = Forms(sandbox.http.get("/").text).forms
    after_tap = sandbox.http.post(tap, data=tapped)
    after_reply = sandbox.http.post(reply, data={**said, "text": "resolve INC-12 rolled back"})
    until(lambda: len(callback.values("messages")) == 2)

    for answer in (after_tap, after_reply):
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/?phone={PERSON}#end")
    by_type = {v["messages"][0]["type"]: v["messages"][0] for v in callback.values("messages")}
    assert by_type["button"]["button"]["payload"] == "ack:INC-12"
    assert by_type["text"]["text"]["body"] == "resolve INC-12 rolled back"
    page = sandbox.http.get(after_reply.headers["Location"]).text
    assert "resolve INC-12 rolled back" in page
    assert "tapped" in page


def test_a_first_reply_asks_for_the_number(sandbox: Running) -> None:
    page = sandbox.http.get("/").text

    assert "No message yet" in page
    assert 'name="from" required' in page
    assert sandbox.http.post("/_sandbox/reply", data={"from": "+14155550100", "text": "hi"}).status_code == 303
    assert "+14155550100" in sandbox.http.get("/").text


def test_what_is_shown_is_escaped(sandbox: Running) -> None:
    message = alert()
    message["template"]["components"][0]["parameters"][2]["text"] = "<script>alert(1)</script>"
    message["template"]["components"][2]["parameters"][0]["text"] = 'x"onclick="alert(1)'
    sandbox.sent(message)
    sandbox.send(alert(type="<b>"))
    page = sandbox.http.get("/", params={"phone": '"><img>'}).text

    assert "<script>alert" not in page
    assert 'x"onclick' not in page
    assert "<img>" not in page
    assert "&lt;b&gt;" in page


def test_nothing_foreign_runs(sandbox: Running) -> None:
    answer = sandbox.http.get("/")
    policy = answer.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=\"/static/)|style=|\son\w+=", answer.text)
    for path in re.findall(r"\"(/static/[^\"]+)\"", answer.text):
        assert sandbox.http.get(path).status_code == 200


def test_another_sites_form_is_refused(sandbox: Running) -> None:
    fields = {"from": PERSON, "text": "ack"}

    foreign = sandbox.http.post("/_sandbox/reply", data=fields, headers={"Origin": "https://evil.test"})
    own = sandbox.http.post(
        "/_sandbox/reply", data=fields, headers={"Origin": str(sandbox.http.base_url).rstrip("/")}
    )

    assert (foreign.status_code, own.status_code) == (403, 303)


def test_the_live_part_answers_only_news(sandbox: Running, callback: Callback) -> None:
    wamid = sandbox.sent(alert())
    until(lambda: callback.statuses(wamid)[-1:] == ["read"] and sandbox.said)
    first = sandbox.http.get("/_sandbox/live", params={"phone": PERSON, "revision": -1})
    same = sandbox.http.get("/_sandbox/live", params={"phone": PERSON, "revision": first.headers["Revision"]})
    sandbox.send(text())
    refused = sandbox.http.get("/_sandbox/live", params={"phone": PERSON, "revision": first.headers["Revision"]})

    assert (first.status_code, same.status_code, refused.status_code) == (200, 204, 200)
    assert "Re-engagement message" in refused.text


def test_static_files_are_of_our_own_and_small() -> None:
    folder = Path(__file__).resolve().parents[2] / "workers/sandbox/static"

    assert {file.name for file in folder.iterdir()} == {"phone.css", "phone.js"}
    assert all(file.stat().st_size < 8000 for file in folder.iterdir())


@pytest.mark.parametrize("keep", [1, 5])
def test_the_oldest_is_forgotten(keep: int) -> None:
    chats = Chats(keep)
    for n in range(10):
        chats.add(Message(f"wamid.{n}", "1", 24.0, Outgoing(PERSON, PERSON, "text"), float(n)))
        chats.hear(Inbound(f"wamid.in{n}", "1", PERSON, "x", float(n)))

    assert list(chats.sent) == [f"wamid.{n}" for n in range(10 - keep, 10)]
    assert len(chats.with_(PERSON)) == 2 * keep
