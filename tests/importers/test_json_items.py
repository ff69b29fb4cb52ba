"""JSON as it comes: one array, an object around it, line by line, packed, broken, cut off, enormous."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from filetools import ORG, given
from hypothesis import given as whatever
from hypothesis import settings
from hypothesis import strategies as st

from commands.importers import NotThisFormat, Unreadable, gcp_status, opsgenie, pagerduty, servicenow, statuspage
from commands.importers import json_items as j
from commands.importers.opened import CHUNK
from commands.importers.records import Item, read_records

READERS = (servicenow, statuspage, gcp_status, pagerduty, opsgenie)


def records(content: bytes) -> list[Any]:
    def reader(file: Any, _: Any) -> Any:
        return read_records(file, wrappers=("incidents", "data"))

    return given(reader, content)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(alphabet='ab"\\{}[]:,\n ü\x01', max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
objects = st.lists(
    st.dictionaries(st.sampled_from(["id", "x", 'a"', "\\", "log"]), values, max_size=4), max_size=6
)
forms: dict[str, Callable[[list[Any]], str]] = {
    "array": json.dumps,
    "indented": lambda found: json.dumps(found, indent=2, ensure_ascii=False),
    "wrapped": lambda found: json.dumps({"page": {"x": [{}]}, "incidents": found, "links": {"a": [{"id": 1}]}}),
    "two pages": lambda found: json.dumps({"data": found[:2]}) + json.dumps({"data": found[2:], "more": [[{}]]}),
    "array of pages": lambda found: json.dumps([{"data": found[:2]}, {"more": 1, "data": found[2:]}]),
    "crlf": lambda found: json.dumps(found, indent=1).replace("\n", "\r\n"),
}


@settings(max_examples=60, deadline=None)
@whatever(objects, st.sampled_from(sorted(forms)), st.booleans(), st.sampled_from([1, 2, 3, 7, 64]))
def test_whatever_an_item_holds_and_wherever_a_piece_ends(
    found: list[Any], form: str, bom: bool, size: int
) -> None:
    content = b"\xef\xbb\xbf" * bom + forms[form](found).encode()
    assert [item.value for item in records(content)] == found
    if form == "array of pages":
        return  # these are taken apart once they are parsed
    scanned = j._Scanner({b'"incidents"', b'"data"'})
    pieces = [content[n : n + size] for n in range(3 * bom, len(content), size)]
    assert [item.value for piece in pieces for item in scanned.feed(piece)] == found  # type: ignore[union-attr]
    assert list(scanned.end()) == []


@settings(max_examples=60, deadline=None)
@whatever(objects.filter(lambda found: len(found) > 1), st.data())
def test_a_file_cut_off_gives_what_is_whole(found: list[Any], data: Any) -> None:
    content = json.dumps(found).encode()
    cut = data.draw(st.integers(1, len(content) - 1))
    *items, last = records(content[:cut])
    assert isinstance(last, Unreadable)
    assert "cut off" in last.reason
    assert [item.value for item in items] == found[: len(items)]
    packed = gzip.compress(content)
    assert isinstance(records(packed[:-9])[-1], Unreadable)


def test_a_broken_item_spoils_itself_only() -> None:
    items = records(b'[{"id": 1}, {"id": tru}, {"id": "\\q"}, 5, "x", [1], {"id": 2}]')
    assert [item.value if isinstance(item, Item) else item.reason[:8] for item in items] == [
        {"id": 1},
        "not JSON",
        "not JSON",
        "no JSON ",
        {"id": 2},
    ]


def test_brackets_that_do_not_match_end_it_and_are_told() -> None:
    *items, last = records(b'[{"id": 1}, {"id": [2}, {"id": 3}]')
    assert [item.value for item in items] == [{"id": 1}]
    assert (last.line, "brackets" in last.reason) == (2, True)


def test_brackets_without_end_are_told() -> None:
    (told,) = records(b"[" * 4_000_000)
    assert isinstance(told, Unreadable) and "brackets deep" in told.reason


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines(ends: bytes, pack: Callable[[bytes], bytes]) -> None:
    lines = [b'{"id": 1}', b"", b'{"id": 2', b'{"incidents": [{"id": 3}, 4]}', b"null", b'{"id": 5}', b'{"id": 6']
    items = records(pack(b"\xef\xbb\xbf" + ends.join(lines)))
    assert [(i.place, i.value) if isinstance(i, Item) else i.line for i in items] == [
        (1, {"id": 1}),
        3,
        (4, {"id": 3}),
        4,
        5,
        (6, {"id": 5}),
        7,
    ]


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_text_of_fifty_megabytes_is_told_in_constant_memory(form: str) -> None:
    text = b"x\\n" * 17_000_000
    between = b",\n" if form == "array" else b"\n"
    body = between.join([b'{"id":"a"}', b'{"id":"b","text":"' + text + b'"}', b'{"id":"c"}'])
    content = gzip.compress(b"[" + body + b"]" if form == "array" else body, 1)
    del text, body
    tracemalloc.start()
    try:
        items = records(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first, long, last = items
    assert (first.value, last.value) == ({"id": "a"}, {"id": "c"})
    assert isinstance(long, Unreadable) and "longer than" in long.reason
    assert peak < 4 * j.LONGEST_ITEM + 4 * CHUNK


def test_columns_of_a_table_nest() -> None:
    items = records(b'id,service.summary,updates,empty\n7,Web,"[{""at"": 1}]",\n8,=x,[broken,\n')
    assert [item.value for item in items] == [
        {"id": "7", "service": {"summary": "Web"}, "updates": [{"at": 1}]},
        {"id": "8", "service": {"summary": "=x"}, "updates": "[broken"},
    ]


FIELDS = [
    *("updates", "incident_updates", "log_entries", "logs", "notes", "number", "created_at", "createdAt", "begin"),
    *("created", "impact", "priority", "owner", "report", "count", "status", "incident", "type", "assignments"),
    *("acknowledgements", "details", "responders", "opened_at", "sys_updated_at", "incident_state", "severity"),
    *("name", "resolved_at", "data"),
]
INNER = [
    *("at", "when", "created_at", "createdAt", "type", "status", "log", "channel", "agent", "assignees", "id"),
    *("text", "summary", "owner"),
]
TELLING = [
    *("2024-05-01T00:00:00Z", "1900-01-01", "9999-12-31T23:59:59-14:00"),
    *("acknowledge_log_entry", "assign_log_entry", "AVAILABLE", "Alert closed"),
]
inner = st.fixed_dictionaries({}, optional=dict.fromkeys(INNER, values | st.sampled_from(TELLING)))
outer = st.fixed_dictionaries(
    {"id": st.text(max_size=3) | values},
    optional=dict.fromkeys(FIELDS, values | st.just("2024-05-01T00:00:00Z") | st.lists(inner, max_size=3)),
)


@settings(max_examples=150, deadline=None)
@whatever(st.sampled_from(READERS), st.lists(outer, max_size=4))
def test_nothing_ends_in_a_traceback(importer: Any, found: list[Any]) -> None:
    for item in given(importer.read_incidents, json.dumps(found)):
        assert item.rows >= 0
        for event in getattr(item, "events", ()):
            assert event.organization_id == ORG


@pytest.mark.parametrize("importer", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"rubbish", b"\x00\xff\xfe", b"\x1f\x8b no gzip", b"a;b\n1;2\n"]
)
def test_another_file_is_refused_as_a_whole(importer: Any, content: bytes) -> None:
    with pytest.raises(NotThisFormat):
        given(importer.read_incidents, content)
