"""Reads a request's JSON place by place, and refuses what is missing, misspelt or of the wrong type."""

from dataclasses import dataclass
from typing import Any

from workers.sandbox.refusals import Refused, required, unexpected


@dataclass(frozen=True)
class Part:
    """A JSON object of the request and where it stands, as Meta names places: `template['language']`."""

    place: str
    fields: dict[str, Any]

    def name(self, key: str) -> str:
        return f"{self.place}['{key}']" if self.place else key

    def only(self, *allowed: str) -> None:
        for key in self.fields:
            if key not in allowed:
                raise unexpected(key, self.place)

    def has(self, key: str) -> bool:
        return self.fields.get(key) is not None

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if value is None or value == "":
            raise required(self.name(key))
        if not isinstance(value, str):
            raise _not_a("string", self.name(key))
        return value

    def part(self, key: str) -> "Part":
        value = self.fields.get(key)
        if value is None:
            raise required(self.name(key))
        if not isinstance(value, dict):
            raise _not_a("JSON object", self.name(key))
        return Part(self.name(key), value)

    def parts(self, key: str) -> "list[Part]":
        """The objects of an array; none where it is missing."""
        value = self.fields.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise _not_a("array of JSON objects", self.name(key))
        return [Part(f"{self.name(key)}[{index}]", each) for index, each in enumerate(value)]


def length(what: str, text: str, most: int) -> None:
    """Refuse a text that is longer than Meta takes."""
    if not 1 <= len(text) <= most:
        raise Refused(131009, f"{what} length invalid. Min length: 1, Max length: {most}")


def _not_a(kind: str, place: str) -> Refused:
    return Refused(100, message=f"Param {place} must be a {kind}.")
