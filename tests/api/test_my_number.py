"""One's own number where WhatsApp is not set up: nobody waits for a code that never comes."""

from uuid import uuid4

from accesstools import Browser, add
from apitools import Org
from running import until


def test_a_code_that_cannot_leave_says_so(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")
    with Browser(own.url) as browser:
        http = browser.by_link(own, ada["id"]).http
        assert http.get("/api/v1/me").json()["whatsapp_code"] is None
        told = http.patch("/api/v1/me", json={"whatsapp": "+15550100400"}).json()
        assert told["whatsapp_waiting"] == "+15550100400"
        assert told["whatsapp_code"]["state"] in ("queued", "sending", "not_configured")

        def state() -> str:
            return http.get("/api/v1/me").json()["whatsapp_code"]["state"]

        until(lambda: state() == "not_configured", what="what became of the code")
        told = http.get("/api/v1/me").json()
        assert told["whatsapp_waiting"] == "+15550100400"
        assert told["whatsapp_code"]["reason"].startswith("WhatsApp is not set up here")
