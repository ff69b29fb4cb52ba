"""The message templates that count as approved here."""

import re
from dataclasses import dataclass
from typing import Literal

MAX_BODY = 1024
"""Characters of a body with its parameters filled in, for a template that also has buttons."""

ALERT = (
    "An incident needs somebody to take it on.\nSeverity: *{{1}}*\nNumber: {{2}}\nTitle: {{3}}\nDetails: {{4}}\n"
    "Tap Acknowledge and everybody sees that it is yours."
)
"""As docs/whatsapp.md has it submitted. Meta refuses a body that begins or ends with a parameter, one with two of
them side by side, and one with few words for them."""

CODE = "Your code for FanDesk Incidents is {{1}}. It works for ten minutes; nobody will ever ask you for it."
"""Confirms a person's own number."""

HOLE = re.compile(r"\{\{(\d+)\}\}")


@dataclass(frozen=True)
class TemplateButton:
    """url: only for kind `url`; its one parameter is put behind it."""

    kind: Literal["quick_reply", "url"]
    title: str
    url: str = ""

    @property
    def name(self) -> str:
        """As Meta's details call the kind."""
        return "Url" if self.kind == "url" else "QuickReply"


@dataclass(frozen=True)
class Template:
    """An approved template with positional parameters. category: as Meta bills it."""

    name: str
    language: str
    body: str
    buttons: tuple[TemplateButton, ...] = ()
    category: str = "utility"

    @property
    def parameters(self) -> int:
        """How many parameters the body takes."""
        return len(set(HOLE.findall(self.body)))

    def filled(self, parameters: list[str]) -> str:
        return HOLE.sub(lambda hole: parameters[int(hole[1]) - 1], self.body)


def approved(name: str, language: str, link_base: str) -> tuple[Template, ...]:
    """The alert under the given name, the code that confirms a number, and the sample that every account has."""
    alert = Template(
        name,
        language,
        ALERT,
        (TemplateButton("quick_reply", "Acknowledge"), TemplateButton("url", "Open", link_base)),
    )
    code = Template("sign_in_code", language, CODE, category="authentication")
    return alert, code, Template("hello_world", "en_US", "This number works.")
