"""Meta's webhooks: the challenge, the signature, and that each status and message is recorded once."""

import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import problem
from running import Product, api_alone, free_port, until

PATH = "/webhooks/whatsapp"
SECRET = "app-secret-of-the-tests"
TOKEN = "verify-token-of-the-t\u00e9sts"
NUMBER_ID = "106540352242922"
SETTINGS = {
    "FANDESK_WHATSAPP_APP_SECRET": SECRET,
    "FANDESK_WHATSAPP_VERIFY_TOKEN": TOKEN,
    "FANDESK_WHATSAPP_PHONE_NUMBER_ID": NUMBER_ID,
}


class Hook:
    """The webhook, with nobody who handles what comes in, and a look into the inbox."""

    def __init__(self, url: str, inbox: psycopg.Connection[Any]) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self._inbox = inbox

    def post(self, body: bytes, signature: str | bytes | None = "", **headers: str) -> httpx.Response:
        """Send it; signature: "" for the right one, None for none."""
        if signature == "":
            signature = sign(body)
        sent: dict[str, str | bytes] = {"Content-Type": "application/json", **headers}
        if signature is not None:
            sent["X-Hub-Signature-256"] = signature
        return self.http.post(PATH, content=body, headers=sent)  # type: ignore[arg-type]

    def take(self, payload: Any) -> None:
        answer = self.post(json.dumps(payload).encode())
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted"}), answer.text

    def rows(self) -> dict[str, Any]:
        """What is in the inbox, by key."""
        return dict(self._inbox.execute("select key, item from notify.inbox order by id").fetchall())

    def clear(self) -> None:
        self._inbox.execute("delete from notify.inbox")


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def of(field: str = "messages", number_id: Any = NUMBER_ID, **value: Any) -> dict[str, Any]:
    """A payload with one change."""
    metadata = {"display_phone_number": "15550100042", "phone_number_id": number_id}
    change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "100", "changes": [change]}]}


def status(wamid: str | None = None, name: str = "delivered", **more: Any) -> dict[str, Any]:
    told = {"id": wamid or f"wamid.{uuid4().hex}", "status": name, "timestamp": "1767610800"}
    return {**told, "recipient_id": "15550100043", **more}


def message(wamid: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"from": "15550100043", "id": wamid or f"wamid.{uuid4().hex}", "timestamp": "1767610800"}
    return {**told, "type": "text", "text": {"body": "On my way"}, **more}


@pytest.fixture(scope="module")
def served(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    folder = tmp_path_factory.mktemp("api")
    with psycopg.connect(database.dsn, autocommit=True) as inbox:
        with api_alone(database.dsn, folder, **SETTINGS) as url:
            hook = Hook(url, inbox)
            yield hook
            hook.http.close()
    log = (folder / "api.log").read_text("utf-8", "replace")
    assert "Traceback" not in log, log[-4000:]
    for never in (SECRET, "On my way", "15550100043", "verify-token"):
        assert never not in log
    assert log.count("without a signature") <= 2  # once a minute, however many there were


@pytest.fixture
def hook(served: Hook) -> Hook:
    """The webhook and an empty inbox."""
    served.clear()
    return served


RIGHT = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "1158201444"}


def test_the_challenge_is_answered_with_itself(hook: Hook) -> None:
    answer = hook.http.get(PATH, params=RIGHT)

    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"hub.verify_token": token} for token in (None, "", "x", TOKEN + "x", TOKEN[:-1], "\u2602", "\x00")],
        *[{"hub.mode": mode} for mode in (None, "", "unsubscribe", "Subscribe")],
        *[{"hub.challenge": c} for c in (None, "", "<script>", "a b", "1" * 201, "\u0661", "1\n2", "1\n")],
    ],
    ids=repr,
)
def test_another_challenge_is_refused(hook: Hook, wrong: dict[str, str | None]) -> None:
    sent = {name: value for name, value in {**RIGHT, **wrong}.items() if value is not None}
    answer = hook.http.get(PATH, params=sent)

    problem(answer, 403)
    assert TOKEN not in answer.text and "<script>" not in answer.text


def test_tokens_that_are_not_utf_8_are_refused(hook: Hook) -> None:
    problem(hook.http.get(f"{PATH}?hub.mode=subscribe&hub.challenge=1&hub.verify_token=%ff%fe%ed%a0%80"), 403)
    problem(hook.http.get(f"{PATH}?hub.mode=subscribe&hub.challenge=1&hub.verify_token={'a' * 1001}"), (403, 422))


def test_what_is_not_configured_is_refused(product: Product) -> None:
    """Also what is signed with the empty secret."""
    body = json.dumps(of(statuses=[status()])).encode()
    with httpx.Client(base_url=product.url) as http:
        problem(http.get(PATH, params=RIGHT), 403)
        problem(http.get(PATH, params={**RIGHT, "hub.verify_token": ""}), 403)
        for secret in ("", "None", SECRET):
            problem(http.post(PATH, content=body, headers={"X-Hub-Signature-256": sign(body, secret)}), 403)


def test_the_whole_product_takes_webhooks_once_it_is_configured(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    product = Product(tmp_path_factory.mktemp("configured") / "data", free_port())
    product.start(environment=SETTINGS)
    try:
        with psycopg.connect(product.cli("dsn").stdout.strip(), autocommit=True) as inbox:
            hook = Hook(product.url, inbox)
            told = status()
            assert hook.http.get(PATH, params=RIGHT).text == "1158201444"
            hook.take(of(statuses=[told]))
            assert f"status:{told['id']}:delivered" in hook.rows()
            hook.http.close()
    finally:
        product.stop()


def test_a_status_is_recorded_as_it_came(hook: Hook) -> None:
    told = status(
        errors=[{"code": 131026, "title": "Message undeliverable", "error_data": {"details": "\u00e9\U0001f600"}}],
        biz_opaque_callback_data="d1",
        recipient_user_id="US.1",
        pricing={"billable": True, "price": 1.5, "big": 2**70},
    )
    hook.take(of(statuses=[told], contacts=[{"wa_id": "15550100043", "profile": {"name": "Grace"}}]))

    key = f"status:{told['id']}:delivered"
    assert hook.rows() == {key: {"kind": "status", "status": told, "phone_number_id": NUMBER_ID}}


def test_a_message_is_recorded_as_it_came(hook: Hook) -> None:
    told = message(context={"from": "15550100042", "id": "wamid.X"})
    hook.take(of(messages=[told]))

    expected = {"kind": "message", "message": told, "phone_number_id": NUMBER_ID}
    assert hook.rows() == {f"message:{told['id']}": expected}


def test_everything_in_a_payload_is_recorded_once_and_in_order(hook: Hook) -> None:
    first, second, third = status("w1", "sent"), status("w1", "delivered"), message("w2")
    payload = of(statuses=[first, second, first])
    payload["entry"].append(of(messages=[third])["entry"][0])
    payload["entry"][0]["changes"].append(of(messages=[third, message("w3")])["entry"][0]["changes"][0])
    hook.take(payload)

    assert list(hook.rows()) == ["status:w1:sent", "status:w1:delivered", "message:w2", "message:w3"]


def test_a_replayed_body_records_nothing_more(hook: Hook) -> None:
    payload = of(statuses=[status()], messages=[message()])
    for _ in range(3):
        hook.take(payload)
    assert len(hook.rows()) == 2

    hook._inbox.execute("update notify.inbox set handled_at = now(), item = null")
    hook.take(payload)
    assert list(hook.rows().values()) == [None, None]  # what was handled does not come back


def test_the_notifier_is_told(hook: Hook, database: Any) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as listening:
        listening.execute("listen whatsapp")
        hook.take(of(statuses=[status()]))
        (told,) = listening.notifies(timeout=10, stop_after=1)
    assert (told.channel, told.payload) == ("whatsapp", "")


SIGNED = json.dumps(of(statuses=[status("signed")])).encode()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "sha256=",
        "x",
        sign(SIGNED)[7:],
        sign(SIGNED)[:-1],
        sign(SIGNED) + "0",
        sign(SIGNED, "another secret"),
        sign(SIGNED + b" "),
        sign(SIGNED).replace("sha256", "sha1"),
        "sha1=" + hmac.new(SECRET.encode(), SIGNED, hashlib.sha1).hexdigest(),
        b"sha256=\xff\xfe\xe9",
        "sha256=\u2602".encode(),
        b"sha256=" + b"\xb2" * 64,
        "sha256=" + "0" * 64,
        "sha256=" + "a" * 10_000,
        f"{sign(SIGNED)}, {sign(SIGNED)}",
    ],
    ids=lambda s: repr(s)[:24],
)
def test_what_is_not_signed_is_refused(hook: Hook, signature: str | bytes | None) -> None:
    answer = hook.post(SIGNED, signature)

    problem(answer, 403)
    assert hook.rows() == {}


@pytest.mark.parametrize("place", [0, 1, len(SIGNED) // 2, len(SIGNED) - 1])
def test_a_body_changed_by_one_byte_is_refused(hook: Hook, place: int) -> None:
    changed = SIGNED[:place] + bytes([SIGNED[place] ^ 1]) + SIGNED[place + 1 :]

    for body in (changed, SIGNED + b"\n", SIGNED[:-1], b""):
        problem(hook.post(body, sign(SIGNED)), 403)
    assert hook.rows() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain; charset=utf-16"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Authorization": "Bearer x"},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_the_raw_body_counts_whatever_it_is_called(hook: Hook, headers: dict[str, str]) -> None:
    assert hook.post(SIGNED, **headers).status_code == 200
    assert len(hook.rows()) == 1


NO_OBJECT = [b"", b"{", b"null", b"[]", b'"x"', b"1", b"\xff\xfe", b"[" * 100_000, b'{"entry":' * 50_000, b"{}x"]


@pytest.mark.parametrize("body", [*NO_OBJECT, b"9" * 5000], ids=lambda b: repr(b[:12]))
def test_signed_nonsense_is_a_malformed_body(hook: Hook, body: bytes) -> None:
    told = problem(hook.post(body), 400)
    assert told["errors"][0]["field"] == "body"


def test_large_bodies(hook: Hook) -> None:
    many = of(statuses=[status(f"w{n}", biz_opaque_callback_data="x" * 900) for n in range(1000)])
    body = json.dumps(many).encode()
    assert 1_000_000 < len(body) < 3 * 1024 * 1024

    problem(hook.post(body, None), 403)
    assert hook.rows() == {}
    assert hook.post(body).status_code == 200
    assert len(hook.rows()) == 1000
    edge = SIGNED + b" " * (3 * 1024 * 1024 - len(SIGNED))
    assert hook.post(edge).status_code == 200
    for size in (len(edge) + 1, 4_000_000):
        problem(hook.post(SIGNED + b" " * (size - len(SIGNED))), 413)
    problem(hook.http.post("/api/v1/incidents", content=b" " * 1_500_000), 413)


@pytest.mark.parametrize(
    ("payload", "keys"),
    [
        (of("message_template_status_update", statuses=[status("w")]), []),
        (of(number_id="another", statuses=[status("w")], messages=[message("w")]), []),
        (of(number_id=None, statuses=[status("w")]), ["status:w:delivered"]),
        (of(number_id=["x"], statuses=[status("w")]), ["status:w:delivered"]),
        (of(metadata=None, statuses=[status("w")]), ["status:w:delivered"]),
        (of(statuses=[status("w", "some_new_status")]), ["status:w:some_new_status"]),
        (
            of(statuses=[{"id": "w"}, {"status": "sent"}, {"id": 5, "status": "sent"}, {"id": "", "status": "s"}]),
            [],
        ),
        (of(statuses=[{"id": "w", "status": None}, None, 5, "x", [], [{}]], messages=[{}, {"id": {}}]), []),
        (of(messages=[{"id": "bare"}]), ["message:bare"]),
        (of(statuses={"id": "w", "status": "sent"}), []),
        ({}, []),
        ({"entry": [{"changes": [{"field": "messages"}, {"field": ["messages"], "value": {}}]}]}, []),
    ],
    ids=lambda v: json.dumps(v)[-60:],
)
def test_only_what_is_a_status_or_message_for_us_is_recorded(
    hook: Hook, payload: dict[str, Any], keys: list[str]
) -> None:
    hook.take(payload)
    assert list(hook.rows()) == keys


@pytest.mark.parametrize(
    "odd",
    [
        "a\x00b",
        "\x00",
        "\ud800",
        "a\udfffb",
        "\U0001f600",
        float("nan"),
        float("inf"),
        -float("inf"),
        10**400,
        1e308,
    ],
    ids=ascii,
)
def test_what_no_database_holds_does_no_harm(hook: Hook, odd: Any) -> None:
    hook.take(of(statuses=[status("w1", more=odd, list=[odd], **({odd: 1} if isinstance(odd, str) else {}))]))
    assert list(hook.rows()) == ["status:w1:delivered"]
    if isinstance(odd, str):
        hook.take(of(statuses=[status(odd, odd)], messages=[message(odd, text={"body": odd})]))
        assert len(hook.rows()) == 3
    hook.take(of(number_id=odd, statuses=[status("w2")]))


def test_keys_are_bounded_and_still_each_its_own(hook: Hook) -> None:
    ids = ["w" * 100_000 + end for end in ("a", "b")] + ["\U0001f600" * 300]
    hook.take(of(statuses=[status(id) for id in ids], messages=[message(id) for id in ids]))
    hook.take(of(statuses=[status(id) for id in ids]))

    keys = list(hook.rows())
    assert len(keys) == 6
    assert all(len(key) <= 300 for key in keys)


@pytest.mark.parametrize("opening", ['{"a":', "["], ids=["objects", "lists"])
@pytest.mark.parametrize("depth", [30, 39, 40, 41, 200, 900])
def test_what_is_nested_deeply_does_no_harm(hook: Hook, depth: int, opening: str) -> None:
    closing = "}" if opening.startswith("{") else "]"
    nested = opening * depth + "1" + closing * depth
    body = json.dumps(of(statuses=[status("w", deep="HERE")], other="HERE")).replace('"HERE"', nested).encode()

    answer = hook.post(body)
    if answer.status_code == 400:  # more than the JSON reader takes
        assert depth >= 900
    else:
        assert answer.status_code == 200
        assert list(hook.rows()) == ["status:w:delivered"]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload."""
    yield path
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(each, (*path, key))


def _put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = _put(value[path[0]], path[1:], odd)
    return copy


ODD = [
    None,
    True,
    0,
    -1.5,
    "",
    "x",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"x": 1},
    {"": []},
    ["x"],
    10**30,
]


def test_odd_things_at_every_place_of_a_payload_are_never_our_fault(hook: Hook) -> None:
    right = of(
        statuses=[status("s", errors=[{"code": 1}], pricing={"billable": True})],
        messages=[message("m", context={"id": "w"}, button={"payload": "ack", "text": "Ack"})],
        contacts=[{"wa_id": "1", "profile": {"name": "Grace"}}],
    )
    hook.take(right)
    for path in _places(right):
        for odd in ODD:
            answer = hook.post(json.dumps(_put(right, path, odd)).encode())
            expected = 200 if path or isinstance(odd, dict) else 400
            assert answer.status_code == expected, (path, odd, answer.text)


def test_payloads_damaged_at_random_are_never_our_fault(hook: Hook) -> None:
    right = json.dumps(of(statuses=[status("s")], messages=[message("m")])).encode()
    dice = random.Random(20260105)
    for _ in range(300):
        body = bytearray(right)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(body))
            body[place : place + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
        answer = hook.post(bytes(body))
        assert answer.status_code in (200, 400), (bytes(body), answer.text)


def test_with_the_database_away_meta_is_to_try_again(hook: Hook, database: Any, postgres: Any) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]
    payload = of(statuses=[status("once")])
    with psycopg.connect(postgres.dsn("postgres", "postgres"), autocommit=True) as owner:
        owner.execute(f"alter database {name} with connection limit 0".encode())
        owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and client_port = -1"
            " and backend_type = 'client backend' and application_name = '' and pid <> %s",
            (name, hook._inbox.info.backend_pid),
        )
        try:
            answer = hook.post(json.dumps(payload).encode())
            problem(answer, 503)
            assert answer.headers["Retry-After"]
            assert hook.rows() == {}
        finally:
            owner.execute(f"alter database {name} with connection limit -1".encode())

    until(lambda: hook.post(json.dumps(payload).encode()).status_code == 200, what="the webhook to be taken again")
    assert list(hook.rows()) == ["status:once:delivered"]
