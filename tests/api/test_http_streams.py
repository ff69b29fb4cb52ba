"""Live streams: every event once, in order, to whom it belongs."""

import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from apitools import Org, Stream, at_once, open_stream, problem, refused_field
from running import Product, free_port, until


def _positions(org: Org, incident: dict[str, Any] | None = None) -> list[int]:
    path = "/ledger/events" if incident is None else f"/incidents/{incident['id']}/events"
    return [e["position"] for e in org.get(path, limit=200)["items"]]


def _arrives(stream: Stream, position: int) -> None:
    until(lambda: position in stream.ids, within_s=5, what=f"position {position}")


def test_from_zero_a_stream_gives_everything_once_in_order(own: Org) -> None:
    first, second = own.trigger("a"), own.trigger("b")
    for n in range(5):
        own.do((first, second)[n % 2], "updates", body=f"line\nbreak\r\n\r\ndata: {n}\u2028")
    expected = {e["position"]: e for e in own.get("/ledger/events", limit=200)["items"]}

    with (
        open_stream(own, last=0) as all_of_it,
        open_stream(own, f"/api/v1/incidents/{second['number']}/stream", last=0) as one,
    ):
        _arrives(all_of_it, max(expected))
        _arrives(one, max(_positions(own, second)))

    assert all_of_it.ids == sorted(expected)
    for id, data in all_of_it.events:
        assert data == expected[id]
    assert one.ids == _positions(own, second)


def test_two_live_streams_see_each_event_once_within_a_second(own: Org) -> None:
    own.trigger("Before they listened")
    with open_stream(own) as a, open_stream(own) as b:
        late = []
        made = own.trigger("After")
        for n in range(10):
            began = time.monotonic()
            position = int(
                own.http.post(f"/api/v1/incidents/{made['id']}/updates", json={"body": str(n)}).headers[
                    "Ledger-Position"
                ]
            )
            for stream in (a, b):
                _arrives(stream, position)
            late.append(time.monotonic() - began)
        expected = _positions(own, made)
        _arrives(a, expected[-1])

    assert a.ids == b.ids == expected
    assert sorted(late)[len(late) // 2] < 1


def test_resuming_misses_and_doubles_nothing(own: Org) -> None:
    incident = own.trigger()
    seen: list[int] = []
    for _ in range(4):
        with open_stream(own, last=seen[-1] if seen else 0) as stream:
            position = own.do(incident, "updates", body="while open") and _positions(own)[-1]
            _arrives(stream, position)
        seen += [id for id in stream.ids if id <= position]
        own.do(incident, "updates", body="while closed")
    with open_stream(own, last=seen[-1]) as stream:
        _arrives(stream, _positions(own)[-1])
    seen += stream.ids

    assert seen == _positions(own)


def test_streams_opened_in_the_middle_of_a_burst_lose_nothing(own: Org) -> None:
    incident = own.trigger()
    streams: list[Stream] = []

    with ExitStack() as stack:

        def work(n: int) -> None:
            if n < 4:
                with own.client() as http:
                    for k in range(25):
                        http.post(f"/api/v1/incidents/{incident['id']}/updates", json={"body": f"{n}-{k}"})
            else:
                streams.append(stack.enter_context(open_stream(own, last=0)))

        at_once(8, work)
        expected = _positions(own)
        assert len(_positions(own, incident)) == 101
        for stream in streams:
            _arrives(stream, expected[-1])
            assert stream.ids == expected


def test_a_stream_begins_with_an_id_to_resume_from(own: Org) -> None:
    own.trigger()
    with open_stream(own) as stream:
        until(lambda: stream.began, within_s=5)
        began = stream.began[0]
    missed = own.trigger("missed")
    with open_stream(own, last=began) as stream:
        until(lambda: stream.events, within_s=5)

    assert [data["incident_id"] for _, data in stream.events] == [missed["id"]]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 19, "9" * 40, "0x10", "\xb2", "1,2"])
def test_an_invalid_last_event_id_is_refused(org: Org, last: str) -> None:
    answer = org.http.get("/api/v1/stream", headers={"Last-Event-ID": last.encode("latin-1")})

    assert refused_field(answer, "") and "last-event-id" in str(answer.json()["errors"]).lower()
    assert answer.status_code == 422


def test_there_is_no_stream_of_an_incident_that_is_not_there(org: Org, other: Org) -> None:
    theirs = other.trigger()
    for id in ("00000000-0000-0000-0000-000000000000", theirs["id"], "INC-99999"):
        with org.client() as http, http.stream("GET", f"/api/v1/incidents/{id}/stream", timeout=5) as answer:
            assert answer.status_code == 404
            answer.read()
            problem(answer, 404)


def test_a_stream_shows_no_other_organisation(own: Org, other: Org) -> None:
    with open_stream(own, last=0) as ours, open_stream(other) as theirs:
        mine = [own.trigger(f"mine {n}") for n in range(3)]
        yours = [other.trigger(f"yours {n}") for n in range(3)]
        _arrives(ours, _positions(own)[-1])
        _arrives(theirs, _positions(other, yours[-1])[-1])

    assert [d["incident_id"] for d in ours.about_incidents] == [i["id"] for i in mine]
    assert [d["incident_id"] for _, d in theirs.events] == [i["id"] for i in yours]


def test_thirty_streams_at_once_and_commands_still_work(own: Org) -> None:
    incident = own.trigger()
    with ExitStack() as stack:
        streams = [stack.enter_context(open_stream(own, last=0)) for _ in range(30)]
        for n in range(10):
            began = time.monotonic()
            own.do(incident, "updates", body=str(n))
            assert time.monotonic() - began < 3
        assert len(own.get("/incidents")["items"]) == 1
        expected = _positions(own)
        for stream in streams:
            _arrives(stream, expected[-1])

    assert all(stream.ids == expected for stream in streams)


def test_sigterm_ends_twenty_streams_and_the_product_in_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    product = Product(tmp_path_factory.mktemp("streams") / "data", free_port())
    product.start()
    with product.client() as http, ExitStack() as stack:
        org = Org("", "", http.headers["Authorization"].split()[1], product.url, http)
        made = org.trigger()
        streams = [stack.enter_context(open_stream(org, last=0)) for _ in range(20)]
        for stream in streams:
            until(lambda stream=stream: stream.about_incidents, within_s=5)

        assert product.stop() < 10

        for stream in streams:
            until(stream.ended.is_set, within_s=5, what="the stream to end")
            assert [d["incident_id"] for d in stream.about_incidents] == [made["id"]]
        with pytest.raises(httpx.TransportError):
            httpx.get(product.url + "/healthz")
    assert "Traceback" not in product.log.read_text()
