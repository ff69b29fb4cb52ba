"""Messages and answers against the sandbox, which refuses what Meta refuses."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metarunning import answering, hearing
from metatools import NUMBER_ID, PERSON, Running

from workers.notifier import messages
from workers.notifier.cloud_api import Answer, CloudApi, CloudApiSettings, Refused, Taken, Unknown
from workers.sandbox.refusals import KINDS

TOKEN = "EAAGm0PX4ZCpsBAtoken"
INCIDENT = UUID("0190a5e2-7f00-7000-8000-000000000012")
LINK = "https://fandesk.test/incidents/INC-12"
TITLE = "Checkout is down for +49 151 9999 8888"


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with hearing() as heard, answering(heard, token=TOKEN, keep=10) as running:
        yield running


@pytest.fixture
def meta(shared: Running) -> Iterator[Running]:
    """A sandbox that takes one token only; empty, and behaving."""
    forget(shared)
    yield shared
    shared.behave()


def forget(meta: Running) -> None:
    """Empty it: messages, rates and who has written."""
    meta.http.delete("/_sandbox/messages").raise_for_status()


def send(meta: Running, content: dict[str, Any], to: str = f"+{PERSON}", **changes: Any) -> Answer:
    wanted = {"base_url": str(meta.http.base_url), "phone_number_id": NUMBER_ID, "token": TOKEN, **changes}

    async def once() -> Answer:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await CloudApi(CloudApiSettings(**wanted), client).send(to, content, callback_data="delivery-1")

    return asyncio.run(once())


def alert(title: str = TITLE, **changes: Any) -> dict[str, Any]:
    wanted = {"severity": "critical", "number": 12, "incident_id": INCIDENT, "link": LINK, **changes}
    return messages.alert("incident_alert", "en_US", title=title, **wanted)


def test_an_alert_arrives_with_its_buttons(meta: Running) -> None:
    answer = send(meta, alert())

    [message] = meta.messages()
    assert answer == Taken(message["wamid"], PERSON)
    assert message["parameters"] == ["CRITICAL", "INC-12", TITLE, LINK]
    assert [button["payload"] or button["url"] for button in message["buttons"]] == [f"ack:{INCIDENT}", LINK]
    assert message["biz_opaque_callback_data"] == "delivery-1"


@pytest.mark.parametrize(
    "content",
    [
        messages.text("You have it.\nThank you."),
        messages.text("x" * 5000),
        messages.text("😀" * 3000),
        messages.text(" \n"),
        messages.buttons("What now?", [("resolve:1", "Resolve")]),
        messages.buttons("y" * 2000, [(f"{n}" * 256, f"{n}" * 20) for n in range(3)]),
    ],
)
def test_session_messages_are_taken(meta: Running, content: dict[str, Any]) -> None:
    send(meta, alert())  # whoever writes, answers a number of ours
    meta.reply()

    assert isinstance(send(meta, content), Taken)


odd = st.text(
    alphabet=st.sampled_from(' \t\n\r\x00\x0b\x1c\x85\u2028\u200b\u200d\ufeff\u2800\ud83d\udc9b😀é{}*"\\a1')
)
hostile = st.one_of(st.text(max_size=60), odd, st.builds(lambda text, n: text * n, odd, st.integers(1, 400)))


@given(title=hostile, severity=hostile, link=hostile)
@settings(max_examples=100, deadline=None)
def test_no_title_is_refused(shared: Running, title: str, severity: str, link: str) -> None:
    forget(shared)

    assert isinstance(send(shared, alert(title, severity=severity, link=link)), Taken)


@given(body=hostile, title=hostile)
@settings(max_examples=40, deadline=None)
def test_no_body_is_refused(shared: Running, body: str, title: str) -> None:
    forget(shared)
    send(shared, alert())
    shared.reply()

    assert isinstance(send(shared, messages.text(body)), Taken)
    assert isinstance(send(shared, messages.buttons(body, [("ack:1", "Acknowledge")])), Taken)


BUSY = {1, 2, 4, 80007, 130429, 131000, 131016, 131048, 131056, 131057, 133004}
ACCOUNT = {3, 10, 190, 200, 299, 368, 2500, 131005, 131031, 131042, 133010}


@pytest.mark.parametrize("code", sorted(KINDS.keys() | BUSY | ACCOUNT | {300, 131052, 132007, 999999}))
def test_error_codes(meta: Running, code: int) -> None:
    meta.behave(error_code=code)

    answer = send(meta, alert())

    expected = "busy" if code in BUSY else "account" if code in ACCOUNT else "never"
    assert isinstance(answer, Refused)
    assert (answer.code, answer.verdict) == (code, expected)
    assert answer.reason.startswith(f"(#{code}) ") and "told to refuse" in answer.reason


@pytest.mark.parametrize(
    ("http_status", "code", "verdict"),
    [
        (400, 100, "never"),
        (401, 190, "account"),
        (403, 131005, "account"),
        (404, 132001, "never"),
        (429, 130429, "busy"),
        (500, 131000, "busy"),
        (502, 131000, "busy"),
        (503, 131016, "busy"),
    ],
)
def test_http_statuses(meta: Running, http_status: int, code: int, verdict: str) -> None:
    meta.behave(http_status=http_status)

    answer = send(meta, alert())

    assert isinstance(answer, Refused)
    assert (answer.code, answer.verdict) == (code, verdict)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_status_of_a_refusal_that_says_never(meta: Running, status: int) -> None:
    meta.behave(http_status=status, error_code=100)

    answer = send(meta, alert())

    assert isinstance(answer, Refused)
    assert answer.verdict == "busy"


def test_late_answer_counts(meta: Running) -> None:
    meta.behave(delay_s=0.3)

    assert isinstance(send(meta, alert()), Taken)


@pytest.mark.parametrize("timeout", ["processed", "unprocessed"])
def test_no_answer_is_unknown(meta: Running, timeout: str) -> None:
    meta.behave(timeout=timeout)

    answer = send(meta, alert(), whole_s=0.3)

    assert answer == Unknown("WhatsApp did not answer in time.")
    assert [m["biz_opaque_callback_data"] for m in meta.messages()] == ["delivery-1"] * (timeout == "processed")


@pytest.mark.parametrize("token", ["EAAGwrong0token0", "", " ", "with\nline", "with space", "tökén"])
def test_wrong_token(meta: Running, token: str) -> None:
    answer = send(meta, alert(), token=token)

    assert isinstance(answer, Refused)
    assert answer.verdict == "account"
    assert not token.strip() or token not in answer.reason
    assert not meta.messages()


def test_token_with_space_around_it(meta: Running) -> None:
    assert isinstance(send(meta, alert(), token=f" {TOKEN}\n"), Taken)


@pytest.mark.parametrize("changes", [{"phone_number_id": "not a number"}, {"base_url": "{}/v24.0x"}])
def test_wrong_address(meta: Running, changes: dict[str, str]) -> None:
    changes = {name: value.format(str(meta.http.base_url).rstrip("/")) for name, value in changes.items()}

    answer = send(meta, alert(), **changes)

    assert isinstance(answer, Refused)
    assert answer.verdict == "account"


def test_pair_rate_of_meta(meta: Running) -> None:
    answers = [send(meta, alert()) for _ in range(46)]

    last = answers.pop()
    assert all(isinstance(each, Taken) for each in answers)
    assert isinstance(last, Refused)
    assert (last.code, last.verdict) == (131056, "busy")


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://graph.facebook.com", "https://graph.facebook.com/v24.0/1/messages"),
        ("https://graph.facebook.com/", "https://graph.facebook.com/v24.0/1/messages"),
        ("https://graph.facebook.com/v25.0", "https://graph.facebook.com/v25.0/1/messages"),
        ("https://graph.facebook.com/v24.0//", "https://graph.facebook.com/v24.0/1/messages"),
        ("http://proxy.test/meta", "http://proxy.test/meta/v24.0/1/messages"),
    ],
)
def test_messages_url(base_url: str, url: str) -> None:
    settings = CloudApiSettings(base_url, "1", TOKEN)

    assert settings.messages_url == url
    assert TOKEN not in repr(settings)
