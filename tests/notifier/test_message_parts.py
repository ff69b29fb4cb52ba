"""What messages say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.notifier import messages
from workers.notifier.numbers import digits
from workers.notifier.words import cut, one_line, units


def parameters(**changes: Any) -> list[str]:
    wanted = {"severity": "high", "number": 12, "title": "Down", "incident_id": "i", "link": "https://f.test/12"}
    content = messages.alert("t", "de", **{**wanted, **changes})
    return [each["text"] for each in content["template"]["components"][0]["parameters"]]


def test_an_alert_as_meta_takes_it() -> None:
    content = messages.alert(
        "incident_alert",
        "de",
        severity="High",
        number="INC-7",
        title="Slow",
        incident_id="abc",
        link="https://f.test",
    )

    texts = [{"type": "text", "text": text} for text in ("HIGH", "INC-7", "Slow", "https://f.test")]
    acknowledge = [{"type": "payload", "payload": "ack:abc"}]
    opened = [{"type": "text", "text": "incidents/INC-7"}]
    assert content == {
        "type": "template",
        "template": {
            "name": "incident_alert",
            "language": {"code": "de"},
            "components": [
                {"type": "body", "parameters": texts},
                {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": acknowledge},
                {"type": "button", "sub_type": "url", "index": "1", "parameters": opened},
            ],
        },
    }


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Checkout is down", "Checkout is down"),
        ("a\nb\tc\r\nd      e", "a b c d e"),
        (" \u2028 lines \x85\x0b ", "lines"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("nul\x00byte", "nul\ufffdbyte"),
        ("", "(no title)"),
        (" \t\n\u00a0\u3000", "(no title)"),
        ("\u200b\u2060\ufeff\u00ad", "(no title)"),
        ("\u2800\u3164\ufe0f", "(no title)"),
        ("👩\u200d🚒 fire", "👩\u200d🚒 fire"),
    ],
)
def test_title(title: str, shown: str) -> None:
    assert parameters(title=title)[2] == shown


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_long_title_fills_what_room_there_is(letter: str) -> None:
    texts = parameters(title=letter * 3000)

    assert texts[2].endswith(f"{letter}…")
    assert 860 <= sum(units(text) for text in texts) <= 1024 - messages.OWN_WORDS


def test_link_that_leaves_no_room() -> None:
    texts = parameters(link="https://f.test/" + "x" * 2000, title="y" * 2000)

    assert texts[3] == "(use the button)"
    assert texts[2].startswith("y" * 700)


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")],
        [("a", "A"), ("a", "B")],
        [("a", "A"), ("b", "A")],
        [("a" * 257, "A")],
        [("", "A")],
        [("a", "A" * 21)],
        [("a", "")],
        [("a", "A\nB")],
    ],
)
def test_buttons_meta_would_refuse(choices: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="button"):
        messages.buttons("What now?", choices)


def test_incident_id_that_fits_no_button() -> None:
    with pytest.raises(ValueError, match="256"):
        parameters(incident_id="x" * 253)


@given(text=st.text(), most=st.integers(1, 40))
def test_cut(text: str, most: int) -> None:
    short = cut(text, most)

    assert units(short) <= most
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_one_line_can_be_sent_and_stored(text: str) -> None:
    line = one_line(text)

    assert line.encode() is not None
    assert line == one_line(line)
    assert not any(bad in line for bad in ("\x00", "\n", "\r", "\t", "  "))


def test_digits() -> None:
    assert digits("+4915112345678") == "4915112345678"
