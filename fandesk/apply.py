"""Makes an organisation as a file says: the events that lead there, and the differences in words.

What the file does not mention is left alone. With prune, what a section of the file does not list is removed; a
section that is not in the file is left alone all the same.
"""

import difflib
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

import yaml
from pydantic import BaseModel, ValidationError

from commands.ids import new_id
from domain import organization_decisions as d
from domain import organization_events as o
from domain.decisions import Request
from domain.errors import InvalidField
from domain.escalation import Policy
from domain.oncall import Schedule
from domain.organization import Organization, Team, fold_organization
from domain.organization_uses import Named, uses
from domain.quiet import Maintenance
from domain.routing import Rule
from fandesk.apply_file import Document, Path, Wanted

Sections = dict[str, dict[str, str]]
"""What an organisation is, by section and name, each thing in words."""


Change = Literal["added", "changed", "removed"]


class Difference(NamedTuple):
    """One thing that is to be another. lines: a unified difference of its definition."""

    section: str
    name: str
    change: Change
    lines: list[str]


@dataclass
class Applying:
    """A file on its way to an organisation, whose people have these roles."""

    document: Document
    wanted: Wanted
    roles: dict[UUID, str]
    prune: bool = False
    passed_over: list[str] = field(default_factory=list)
    """Windows of the file that were over before they were announced."""

    def events(self, organization: Organization, request: Request) -> d.Events:
        """What has to happen, in one order that keeps every name known; empty where it is so already.

        Raises CannotBe with the path in the file.
        """
        self.passed_over.clear()
        now = _copy(organization)
        names = self._names(organization)
        events: list[o.OrganizationEvent] = []

        def take(some: d.Events) -> None:
            for event in some:
                now.apply(event)
                events.append(event)

        for name, body in (self.wanted.schedules or {}).items():
            path = ("schedules", name)
            schedule = self._made(path, Schedule, {**_fields(body), "name": name})
            take(self._asked(path, lambda s=schedule: d.define_schedule(now, request, s, self.roles, new_id)))
        for name, policy_body in (self.wanted.policies or {}).items():
            path = ("policies", name)
            policy = self._made(path, Policy, {**_fields(policy_body), "name": name})
            take(self._asked(path, lambda p=policy: d.define_policy(now, request, p, self.roles, names)))
        for name, team in (self.wanted.teams or {}).items():
            made = Team(name, tuple(team.members), team.schedule, team.policy)
            path = ("teams", name)
            take(self._asked(path, lambda t=made: d.define_team(now, request, t, self.roles, names)))
        if self.wanted.routing is not None:
            take(self._asked(("routing",), lambda: self._routing(now, request, names)))
        for name, entry in (self.wanted.maintenance_windows or {}).items():
            path = ("maintenance_windows", name)
            window = self._made(path, Maintenance, _fields(entry.body(name)))
            id = next((id for id, known in now.windows.items() if known.name == name), None)
            if id is None and window.end <= request.asked_at:
                self.passed_over.append(name)
                continue
            at = id or new_id()
            take(self._asked(path, lambda w=window, i=at: d.schedule_maintenance(now, request, i, w)))
        if (targets := self.wanted.response_targets) is not None:
            aims = o.Targets(**targets.model_dump())
            take(self._asked(("response_targets",), lambda: d.set_response_targets(now, request, aims)))
        if self.prune:
            self._prune(now, request, take)
        return tuple(events)

    def _routing(self, now: Organization, request: Request, names: d.Names) -> d.Events:
        """The file's rules first; those that it does not mention keep their order after them."""
        assert self.wanted.routing is not None
        given = [(r.id, Rule(**{**_fields(r), "id": r.id or new_id()})) for r in self.wanted.routing.rules]
        known = {rule.name for _, rule in given} | {id for id, _ in given if id is not None}
        left = [(r.id, r) for r in now.rules if not self.prune and r.name not in known and r.id not in known]
        says_default = self.prune or "default_team" in self.wanted.routing.model_fields_set
        default = self.wanted.routing.default_team if says_default else now.default_team
        return d.set_routing(now, request, [*given, *left], default, new_id, names)

    def _prune(self, now: Organization, request: Request, take: Any) -> None:
        meta = request.meta()
        gone: list[tuple[Named, str, str]] = []
        for kind, section, mentioned, there in (
            ("team", "teams", self.wanted.teams, now.teams),
            ("schedule", "schedules", self.wanted.schedules, now.schedules),
            ("policy", "policies", self.wanted.policies, now.policies),
        ):
            gone += [(kind, section, name) for name in there if mentioned is not None and name not in mentioned]  # type: ignore[misc]
        for kind, _, name in gone:
            match kind:
                case "team":
                    take((o.TeamRemoved(**meta, team=name),))
                case "schedule":
                    take((o.ScheduleRemoved(**meta, name=name),))
                case "policy":
                    take((o.PolicyRemoved(**meta, name=name),))
        for kind, section, name in gone:
            if by := uses(now, kind, name):
                raise self.document.wrong((section,), f"{name} cannot be removed: it is in use by {', '.join(by)}")
        if self.wanted.maintenance_windows is not None:
            for id, window in list(now.windows.items()):
                if window.name not in self.wanted.maintenance_windows and window.end > request.asked_at:
                    take((o.MaintenanceCancelled(**meta, window_id=id),))

    def _names(self, now: Organization) -> d.Names:
        """What there will be: things of the file may name each other, whatever comes first."""
        return d.Names(
            frozenset(self._after(self.wanted.teams, now.teams)),
            frozenset(self._after(self.wanted.schedules, now.schedules)),
            frozenset(self._after(self.wanted.policies, now.policies)),
        )

    def _after(self, wanted: dict[str, Any] | None, there: dict[str, Any]) -> set[str]:
        return set(wanted or ()) | (set() if self.prune and wanted is not None else set(there))

    def _asked(self, path: Path, decide: Any) -> d.Events:
        try:
            events: d.Events = decide()
            return events
        except InvalidField as wrong:
            raise self.document.wrong((*path, *wrong.field.split(".")), wrong.detail) from wrong

    def _made(self, path: Path, model: type[Any], values: dict[str, Any]) -> Any:
        try:
            return model(**values)
        except ValidationError as refused:
            first = refused.errors(include_url=False)[0]
            raise self.document.wrong(
                (*path, *first["loc"]), first["msg"].removeprefix("Value error, ")
            ) from refused


def differences(before: Organization, events: d.Events, people: dict[UUID, str]) -> list[Difference]:
    """What the events change, by section and name."""
    after = _copy(before)
    for event in events:
        after.apply(event)
    old, new = _sections(before, people), _sections(after, people)
    found = []
    for section in new:
        for name in sorted({*old[section], *new[section]}):
            was, will = old[section].get(name), new[section].get(name)
            if was != will:
                change: Change = "added" if was is None else "removed" if will is None else "changed"
                found.append(Difference(section, name, change, _unified(section, name, was or "", will or "")))
    return found


def _unified(section: str, name: str, was: str, will: str) -> list[str]:
    return list(
        difflib.unified_diff(
            was.splitlines(), will.splitlines(), f"{section}/{name} (now)", f"{section}/{name} (file)", lineterm=""
        )
    )


def _sections(organization: Organization, people: dict[UUID, str]) -> Sections:
    names = {str(id): name for id, name in people.items()}

    def words(value: Any) -> str:
        text: str = yaml.safe_dump(_named(value, names), sort_keys=False, allow_unicode=True, width=100)
        return text

    def model(value: BaseModel) -> dict[str, Any]:
        shown = value.model_dump(mode="json", exclude_none=True)
        return {key: each for key, each in shown.items() if key not in ("id", "name")}

    order = [f"{number}. {rule.name}" for number, rule in enumerate(organization.rules, 1)]
    return {
        "schedules": {name: words(model(each)) for name, each in organization.schedules.items()},
        "policies": {name: words(model(each)) for name, each in organization.policies.items()},
        "teams": {
            name: words({"members": list(map(str, t.members)), "schedule": t.schedule, "policy": t.policy})
            for name, t in organization.teams.items()
        },
        "rules": {rule.name: words(model(rule)) for rule in organization.rules},
        "routing": {"order": words({"rules": order, "default_team": organization.default_team})},
        "maintenance_windows": {each.name: words(model(each)) for each in organization.windows.values()},
        "response_targets": {"seconds": words(dict(organization.targets))},
    }


def _named(value: Any, names: dict[str, str]) -> Any:
    """The same with people's names in place of their ids."""
    if isinstance(value, dict):
        return {key: _named(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def _fields(body: BaseModel) -> dict[str, Any]:
    return {name: getattr(body, name) for name in type(body).model_fields}


def _copy(organization: Organization) -> Organization:
    """The same, to try events on."""
    made = fold_organization(organization.id, ())
    for name in ("version", "rules", "default_team", "targets"):
        setattr(made, name, getattr(organization, name))
    for name in ("roles", "teams", "schedules", "policies", "windows", "quiet", "tokens"):
        setattr(made, name, dict(getattr(organization, name)))
    return made
