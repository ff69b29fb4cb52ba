"""Answers that are not Meta's, or odd, or missing."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from canned import answering_with, page
from hypothesis import given
from hypothesis import strategies as st
from running import free_port

from workers.notifier import messages
from workers.notifier.answers import read
from workers.notifier.cloud_api import Answer, CloudApi, CloudApiSettings, Refused, Taken, Unknown
from workers.notifier.numbers import digits

TOKEN = "EAAGm0PX4ZCpsBAtoken"
PERSON = "+4915112345678"
WRITTEN = "Checkout is down"
HTML = "<html><body>Bad Gateway</body></html>"


def ask(base_url: str, **changes: Any) -> Answer:
    wanted = {"base_url": base_url, "phone_number_id": "1", "token": TOKEN, "whole_s": 5.0, **changes}

    async def once() -> Answer:
        async with httpx.AsyncClient(trust_env=False) as client:
            api = CloudApi(CloudApiSettings(**wanted), client)
            return await api.send(PERSON, messages.text(WRITTEN), callback_data="1")

    return asyncio.run(once())


def told(status: str, body: object) -> bytes:
    return page(status, json.dumps(body))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (page("502 Bad Gateway", HTML, "text/html"), Unknown),
        (page("503 Service Unavailable", ""), Unknown),
        (page("504 Gateway Timeout", '{"message": "Endpoint request timed out"}'), Unknown),
        (told("500 Internal Server Error", {"error": "boom"}), Unknown),
        (told("500 Internal Server Error", {"error": {}}), Unknown),
        (told("500 Internal Server Error", {"error": {"type": "OAuthException"}}), "busy"),
        (told("500 Internal Server Error", {"error": {"code": 190}}), "account"),
        (told("400 Bad Request", {"error": {"code": "131056"}}), "busy"),
        (told("400 Bad Request", {"error": {"code": True, "message": 7, "error_data": []}}), "never"),
        (told("400 Bad Request", {"error": {"code": 100, "error_subcode": 33}}), "account"),
        (told("400 Bad Request", {"error": {"code": 10**30}}), "never"),
        (told("400 Bad Request", [1, 2]), "never"),
        (page("301 Moved Permanently", ""), "account"),
        (page("401 Unauthorized", HTML, "text/html"), "account"),
        (page("403 Forbidden", ""), "account"),
        (page("404 Not Found", HTML, "text/html"), "account"),
        (page("413 Too Large", ""), "never"),
        (page("429 Too Many Requests", ""), "busy"),
        (page("200 OK", HTML, "text/html"), Unknown),
        (page("200 OK", b"\xff\xfe"), Unknown),
        (page("200 OK", "[" * 100_000), Unknown),
        (told("200 OK", {"messages": []}), Unknown),
        (told("200 OK", {"messages": [{"id": 5}]}), Unknown),
        (told("200 OK", {"messages": [{"id": "a\x00b"}]}), Unknown),
        (told("200 OK", {"error": {"code": 1, "message": "oops"}}), Unknown),
        (told("200 OK", {"messages": [{"id": "wamid.1"}], "contacts": "none"}), Taken("wamid.1", None)),
        (told("201 Created", {"messages": [{"id": "w"}], "contacts": [{"wa_id": "49"}]}), Taken("w", "49")),
        (b"", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", Unknown),
        (b"SSH-2.0-OpenSSH\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", Unknown),
    ],
)
def test_answer_of_something_else(raw: bytes, expected: object) -> None:
    with answering_with(raw) as base_url:
        answer = ask(base_url)

    match expected:
        case str():
            assert isinstance(answer, Refused)
            assert answer.verdict == expected
        case Taken():
            assert answer == expected
        case _:
            assert isinstance(answer, Unknown)


def test_answer_that_stops_halfway_is_unknown() -> None:
    with answering_with(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", stay_open=True) as base_url:
        assert ask(base_url, whole_s=0.3) == Unknown("WhatsApp did not answer in time.")


@pytest.mark.parametrize(
    ("base_url", "verdict"),
    [
        ("http://127.0.0.1:{port}", "busy"),
        ("http://nobody.invalid", "busy"),
        ("https://127.0.0.1:{port}", "busy"),
        ("graph.facebook.com", "account"),
        ("", "account"),
        ("http://[::1", "account"),
    ],
)
def test_what_cannot_be_reached_was_not_sent(base_url: str, verdict: str) -> None:
    answer = ask(base_url.format(port=free_port()))

    assert isinstance(answer, Refused)
    assert (answer.code, answer.verdict) == (None, verdict)


def test_a_server_without_tls_gets_nothing() -> None:
    with answering_with(b"HTTP/1.1 400 Bad Request\r\n\r\n") as base_url:
        answer = ask(base_url.replace("http:", "https:"))

    assert isinstance(answer, Refused)
    assert answer.verdict == "busy"


def test_reason_quotes_neither_token_nor_person_nor_message() -> None:
    said = f"Malformed access token {TOKEN}: {digits(PERSON)} +49 151 1234-5678 '{WRITTEN}' EAAGother00000token"
    error = {"message": f"(#100) {said}", "code": 100, "error_data": {"details": said * 20}}
    with answering_with(told("400 Bad Request", {"error": error})) as base_url:
        answer = ask(base_url)

    assert isinstance(answer, Refused)
    assert answer.reason.startswith("(#100) Malformed access token [removed]: [removed] ")
    assert len(answer.reason) <= 300
    for secret in (TOKEN, "EAA", "4915", "5678", WRITTEN):
        assert secret not in answer.reason


NAMES = ("error", "code", "message", "error_data", "details", "messages", "contacts", "id", "wa_id", "type")
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
)


@given(status=st.integers(200, 599), body=junk)
def test_whatever_the_body_is_there_is_an_answer(status: int, body: object) -> None:
    answer = read(status, json.dumps(body).encode())

    match answer:
        case Taken(wamid, wa_id):
            assert status < 300 and wamid and (wa_id is None or wa_id.isdigit())
        case Refused(code, reason, _):
            assert code is None or abs(code) < 2**31
            assert 0 < len(reason) <= 300 and reason.encode() and "\x00" not in reason
        case Unknown(reason):
            assert 0 < len(reason) <= 300 and reason.encode() and "\x00" not in reason
