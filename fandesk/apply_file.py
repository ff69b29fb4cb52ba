"""The file that `fandesk apply` takes: read, checked, people found, every mistake told with its path and line."""

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml
from pydantic import Field, ValidationError

from api import schemas
from api.places import place_in
from api.setting_shapes import PolicyBody, RuleBody, ScheduleBody, TargetsBody, TeamBody, WindowBody
from domain.conditions import Conditions
from domain.localtime import Moment
from domain.values import Name
from fandesk.organizing import CannotBe, Person, meant

Path = tuple[str | int, ...]

DEEPEST = 50


class WindowEntry(schemas.Body):
    """A maintenance window, by its name."""

    start: Moment
    end: Moment
    conditions: Conditions = Conditions()

    def body(self, name: str) -> WindowBody:
        return WindowBody(name=name, start=self.start, end=self.end, conditions=self.conditions)


class RoutingEntry(schemas.Body):
    """All rules that the file speaks of, in order."""

    rules: list[RuleBody] = Field(default=[])
    default_team: Name | None = None


class Wanted(schemas.Body):
    """How an organisation shall be. A section that is null, or not there, says nothing."""

    organization: Name | None = None
    teams: dict[Name, TeamBody] | None = None
    routing: RoutingEntry | None = None
    schedules: dict[Name, ScheduleBody] | None = None
    policies: dict[Name, PolicyBody] | None = None
    maintenance_windows: dict[Name, WindowEntry] | None = None
    response_targets: TargetsBody | None = None


class Document:
    """A file's content, and the line on which each part of it begins."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self._look(node, ())
            self.content = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as wrong:
            line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
            raise CannotBe(f"{name}, line {line}: {wrong.problem or 'is not YAML'}") from wrong
        except yaml.reader.ReaderError as wrong:
            line = text.count("\n", 0, wrong.position) + 1
            raise CannotBe(f"{name}, line {line}: has a character that may not be in YAML") from wrong
        except (ValueError, OverflowError) as wrong:  # an escape such as \UFFFFFFFF, which is no character
            raise CannotBe(f"{name}, line {loader.line + 1}: {wrong}") from wrong
        if not isinstance(self.content, dict):
            raise self.wrong((), "must have sections, such as teams: and schedules:")

    def wrong(self, path: Path, why: str) -> CannotBe:
        """The mistake at that place, in words."""
        known = tuple(map(str, path))
        where = ".".join(known)
        while known and known not in self._lines:
            known = known[:-1]
        return CannotBe(f"{self._name}, line {self._lines.get(known, 1)}: {where + ': ' if where else ''}{why}")

    def wanted(self, people: list[Person]) -> Wanted:
        """What the file says, with ids in place of people. Raises CannotBe."""
        for holder, key, path in _people_in(self.content):
            if isinstance(holder[key], str):
                try:
                    holder[key] = str(meant(holder[key], people).id)
                except CannotBe as nobody:
                    raise self.wrong(path, str(nobody)) from nobody
        try:
            return Wanted.model_validate(self.content, extra="forbid")
        except ValidationError as refused:
            told = [
                str(self.wrong(tuple(place_in(("body", *each["loc"]), self.content)), _words(each["msg"])))
                for each in refused.errors(include_url=False)
            ]
            raise CannotBe("\n".join(told)) from refused

    def _look(self, node: Any, path: tuple[str, ...]) -> None:
        if node is None:
            return
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                here = (*path, str(key.value))
                self._look(value, here)
                self._lines[here] = key.start_mark.line + 1
                if key.value in seen:
                    raise self.wrong(here, "is there twice")
                seen.add(key.value)
        elif isinstance(node, yaml.SequenceNode):
            for n, value in enumerate(node.value):
                self._look(value, (*path, str(n)))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe kinds of values without its surprises: 17:30 is no number, `on` is no truth, a date is text.

    Nor does it take what makes a short file huge, endless or odd: aliases, tags, deep nesting, keys that are no
    text.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next value. Raises ComposerError."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"*{event.anchor}: aliases are not taken, write it out")
        if event.tag not in (None, "!"):
            self._refuse(event, f"{event.tag}: tags are not taken")
        if self.depth == DEEPEST:
            self._refuse(event, f"is nested more than {DEEPEST} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(parent, yaml.MappingNode) and index is None and not isinstance(node, yaml.ScalarNode):
            self._refuse(event, "a key must be text")
        return node

    def _refuse(self, event: Any, why: str) -> NoReturn:
        raise yaml.composer.ComposerError(None, None, why, event.start_mark)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(~|null|)$", ["~", "n", ""]),
    ("bool", r"^(true|false)$", ["t", "f"]),
    ("int", r"^(0|-?[1-9][0-9]{0,17})$", list("-0123456789")),
    ("merge", r"^(<<)$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _people_in(content: dict[str, Any]) -> Iterator[tuple[Any, Any, Path]]:
    """Where the file names people: what holds the name, its place in that, and the path to it."""
    for path in (
        ("teams", "*", "members", "*"),
        ("schedules", "*", "layers", "*", "people", "*"),
        ("schedules", "*", "overrides", "*", "person"),
        ("policies", "*", "steps", "*", "targets", "*", "id"),
    ):
        for holder, key, found in _at(content, path, ()):
            if path[0] != "policies" or holder.get("kind") == "person":
                yield holder, key, found


def _at(value: Any, path: tuple[str, ...], so_far: Path) -> Iterator[tuple[Any, Any, Path]]:
    keys: list[Any] = []
    if path[0] == "*":
        keys = (
            list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        )
    elif isinstance(value, dict) and path[0] in value:
        keys = [path[0]]
    for key in keys:
        if len(path) == 1:
            yield value, key, (*so_far, key)
        else:
            yield from _at(value[key], path[1:], (*so_far, key))


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
