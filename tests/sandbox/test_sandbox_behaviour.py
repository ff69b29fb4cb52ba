"""What the sandbox can be told to do wrong."""

import time
from typing import Any

import httpx
import pytest
from metatools import PERSON, Callback, Running, alert, text
from running import until

from workers.sandbox.behaviour import Share


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ({"error_code": 131026}, 400, 131026),
        ({"error_code": 131056}, 400, 131056),
        ({"error_code": 130429, "http_status": 429}, 429, 130429),
        ({"error_code": 190}, 401, 190),
        ({"error_code": 424242}, 400, 424242),
        ({"http_status": 500}, 500, 131000),
        ({"http_status": 503}, 503, 131016),
    ],
    ids=str,
)
def test_refuses_as_told(sandbox: Running, behaviour: dict[str, Any], status: int, code: int) -> None:
    sandbox.behave(**behaviour)
    answer = sandbox.send(alert())
    sandbox.behave()

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert sandbox.messages() == []
    assert sandbox.send(alert()).status_code == 200


def test_a_share_is_every_third(sandbox: Running) -> None:
    sandbox.behave(http_status=500, share=1 / 3)

    assert [sandbox.send(alert()).status_code for _ in range(9)] == [200, 200, 500] * 3


def test_faults_take_turns(sandbox: Running) -> None:
    sandbox.behave(faults=[{"http_status": 500}, {"error_code": 130429}, {"error_code": 131056}], share=0.5)
    answers = [sandbox.send(alert()).json() for _ in range(8)]

    assert [a["error"]["code"] if "error" in a else 0 for a in answers] == [
        0,
        131000,
        0,
        130429,
        0,
        131056,
        0,
        131000,
    ]


def test_a_wrong_request_is_refused_for_what_is_wrong_with_it(sandbox: Running) -> None:
    sandbox.behave(http_status=500)

    assert sandbox.send(alert(to="x")).json()["error"]["code"] == 131009


def test_late_answers(sandbox: Running) -> None:
    sandbox.behave(delay_s=0.3)
    began = time.monotonic()

    assert sandbox.send(alert()).status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("timeout", "arrived"),
    [(True, 1), ("processed", 1), ("unprocessed", 0)],
    ids=["true", "processed", "unprocessed"],
)
def test_no_answer_in_time(sandbox: Running, timeout: Any, arrived: int) -> None:
    sandbox.behave(timeout=timeout)

    with pytest.raises(httpx.ReadTimeout):
        sandbox.send(alert(), timeout=0.3)
    assert len(sandbox.messages()) == arrived


def test_statuses_none_twice_late_and_failed(sandbox: Running, callback: Callback) -> None:
    sandbox.behave(statuses="none")
    silent = sandbox.sent(alert())
    sandbox.behave(statuses="twice")
    twice = sandbox.sent(alert())
    until(lambda: callback.statuses(twice) == ["sent", "sent", "delivered", "delivered", "read", "read"])
    sandbox.behave(statuses="late", late_s=0.3)
    late, began = sandbox.sent(alert()), time.monotonic()
    until(lambda: callback.statuses(late))
    waited = time.monotonic() - began
    sandbox.behave(statuses="failed")
    failed = sandbox.sent(alert(biz_opaque_callback_data="d"))
    until(lambda: callback.statuses(failed))

    assert callback.statuses(silent) == []
    assert waited >= 0.25
    value = next(v for v in callback.values("statuses") if v["statuses"][0]["id"] == failed)
    assert "contacts" not in value
    told = value["statuses"][0]
    assert (told["status"], told["biz_opaque_callback_data"]) == ("failed", "d")
    assert (told["errors"][0]["code"], told["errors"][0]["title"]) == (131026, "Message undeliverable")
    assert [item["status"] for item in sandbox.messages() if item["wamid"] == failed] == ["failed"]


def test_a_reply_twice_has_one_id(sandbox: Running, callback: Callback) -> None:
    sandbox.behave(statuses="twice")
    wamid = sandbox.reply("status")
    until(lambda: len(callback.values("messages")) == 2)

    assert {value["messages"][0]["id"] for value in callback.values("messages")} == {wamid}


def test_half_of_the_statuses(sandbox: Running, callback: Callback) -> None:
    sandbox.behave(statuses="none", share=0.5)
    wamids = [sandbox.sent(alert()) for _ in range(4)]
    until(lambda: all(callback.statuses(wamid)[-1:] == ["read"] for wamid in wamids[::2]))

    assert [callback.statuses(wamid) for wamid in wamids[1::2]] == [[], []]


def test_a_closed_window_may_be_told_by_status(sandbox: Running, callback: Callback) -> None:
    sandbox.behave(window="status")
    wamid = sandbox.sent(text())
    until(lambda: callback.statuses(wamid) == ["failed"])

    assert callback.values("statuses")[0]["statuses"][0]["errors"][0]["code"] == 131047


@pytest.mark.parametrize(
    "wrong", [{"share": 2}, {"http_status": 200}, {"statuses": "odd"}, {"delay": 1}, {"timeout": "maybe"}], ids=str
)
def test_orders_that_make_no_sense(sandbox: Running, wrong: dict[str, Any]) -> None:
    assert sandbox.http.put("/_sandbox/behaviour", json=wrong).status_code == 422


def test_forgetting_starts_anew(sandbox: Running) -> None:
    for _ in range(46):
        sandbox.send(alert())
    sandbox.http.delete("/_sandbox/messages").raise_for_status()

    assert sandbox.messages() == []
    assert sandbox.send(alert()).status_code == 200
    assert [m["to"] for m in sandbox.http.get("/_sandbox/messages", params={"to": "+" + PERSON}).json()["items"]]


@pytest.mark.parametrize("share", [0, 0.1, 1 / 3, 0.5, 2 / 3, 1])
def test_shares_are_even(share: float) -> None:
    turns = Share(share)

    assert sum(turns.next() for _ in range(300)) == round(300 * share)
