"""A person's own number counts once the code that was sent to it on WhatsApp has come back."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from alerting import Alerting, alerting, new_number
from running import until

from fandesk.first_start import add_token


def code_for(alerts: Alerting, number: str, after: int = 0) -> str:
    until(lambda: len(alerts.sandbox.messages(number)) > after, what="the code")
    message = alerts.sandbox.messages(number)[-1]
    assert message["template"] == "sign_in_code"
    (code,) = message["parameters"]
    assert len(code) == 6 and code.isdigit()
    return str(code)


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("own-number")) as running:
        yield running


@pytest.fixture
def me(alerts: Alerting) -> Any:
    import psycopg

    with psycopg.connect(alerts.dsn, autocommit=True) as connection:
        row = connection.execute("select id from access.organizations limit 1").fetchone()
        assert row is not None
        token = add_token(connection, row[0], f"Own {new_number()}", "responder")
    with httpx.Client(base_url=alerts.product.url, headers={"Authorization": f"Bearer {token}"}) as http:
        yield http


def test_a_new_number_is_confirmed(alerts: Alerting, me: httpx.Client) -> None:
    number = new_number()
    told = me.patch("/api/v1/me", json={"whatsapp": number, "time_zone": "Europe/Paris"}).json()
    assert (told["whatsapp"], told["whatsapp_waiting"], told["time_zone"]) == (None, number, "Europe/Paris")
    code = code_for(alerts, number)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert me.post("/api/v1/me/whatsapp/confirm", json={"code": wrong}).status_code == 422
    told = me.post("/api/v1/me/whatsapp/confirm", json={"code": code}).json()
    assert (told["whatsapp"], told["whatsapp_confirmed"], told["whatsapp_waiting"]) == (number, True, None)
    assert me.post("/api/v1/me/whatsapp/confirm", json={"code": code}).status_code == 422
    (row,) = alerts.sql(
        "select severities from notify.recipients where whatsapp = %s and removed_at is null", number
    )
    assert row["severities"] == []
    kept = alerts.sql("select content::text as content from notify.deliveries where kind = 'code'")
    assert kept and all(code not in each["content"] for each in kept)

    other = new_number()
    me.patch("/api/v1/me", json={"whatsapp": other})
    assert me.get("/api/v1/me").json()["whatsapp"] == number
    assert (
        me.post("/api/v1/me/whatsapp/confirm", json={"code": code_for(alerts, other)}).json()["whatsapp"] == other
    )


def test_five_tries_and_ten_minutes(alerts: Alerting, me: httpx.Client) -> None:
    number = new_number()
    me.patch("/api/v1/me", json={"whatsapp": number})
    code = code_for(alerts, number)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    answers = [me.post("/api/v1/me/whatsapp/confirm", json={"code": wrong}) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {422}
    assert me.post("/api/v1/me/whatsapp/confirm", json={"code": code}).status_code == 422
    me.patch("/api/v1/me", json={"whatsapp": number})
    code = code_for(alerts, number, after=1)
    alerts.sql("update access.codes set expires_at = now() where whatsapp = %s returning 1", number)
    assert me.post("/api/v1/me/whatsapp/confirm", json={"code": code}).status_code == 422
    codes = [me.patch("/api/v1/me", json={"whatsapp": new_number()}).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
